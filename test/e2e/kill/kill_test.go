// Package kill_test ends the server as kill -9 does, in the middle of pushes,
// mounts, tag moves, deletes and reindexes, and holds what is there afterwards
// against what was promised: what was acknowledged is there bit for bit, what was
// deleted stays away, what had no answer is wholly done or wholly not, and nothing
// blocks a retry. The same with a disk that is full now and then, and with storage
// that errs.
//
// The judge knows nothing of the server's index. It has a memory of its own of
// what was promised, asks as a client asks, and reads the storage folder itself.
package kill_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/bondgate/bondgate/test/harness"
)

// troubleShare is how many kills of the campaign are one of a campaign with
// trouble, whose rounds are slower.
const troubleShare = 5

func TestWhatWasAcknowledgedSurvivesKillNine(t *testing.T) {
	newCampaign(t, harness.Options{}).run(kills(1))
}

// full is a disk that has no room, or hardly any.
type full struct{ disk *harness.Disk }

func (f full) on(rnd *rand.Rand) {
	// Some room, for the next blob not enough or just so.
	f.disk.Fill([]int64{0, 0, 4 << 10, 64 << 10}[rnd.IntN(4)])
}

func (f full) off() { f.disk.Free() }

func TestAFullDiskLosesNothing(t *testing.T) {
	dir := filepath.Join(harness.ShortDir(t), "data")
	disk := harness.SmallDisk(t, dir, 512)
	c := newCampaign(t, harness.Options{DataDir: dir})
	t.Cleanup(c.g.Kill)
	c.trouble = full{disk}
	c.run(kills(troubleShare))
	if c.outages() == 0 {
		t.Error("the disk was never full")
	}
}

// faults makes a share of the storage driver's calls go wrong, in thousandths.
type faults struct {
	t    *testing.T
	file string
}

func (f faults) on(rnd *rand.Rand) {
	if err := os.WriteFile(f.file, fmt.Append(nil, []int{10, 50, 200, 500}[rnd.IntN(4)]), 0o600); err != nil {
		f.t.Error(err)
	}
}

func (f faults) off() {
	if err := os.Remove(f.file); err != nil && !os.IsNotExist(err) {
		f.t.Error(err)
	}
}

func TestStorageThatErrsLosesNothing(t *testing.T) {
	file := filepath.Join(t.TempDir(), "faults")
	c := newCampaign(t, harness.Options{Binary: harness.FaultyBinary(t), Env: []string{"BONDGATE_TEST_FAULTS=" + file}})
	c.trouble = faults{t, file}
	c.run(kills(troubleShare))
	if c.outages() == 0 {
		t.Error("storage never failed")
	}
}

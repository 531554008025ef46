package main

import (
	"context"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/bondgate/bondgate/storage/registry/registrytest"
)

// faultsFile names a file with the share of the storage driver's calls, in
// thousandths, that go wrong; none go wrong while there is no such file. With it in
// the environment this test binary is the gateway itself, so that the campaign in
// test/e2e/kill can run it with storage that fails. The gateway that is shipped
// has no part of this.
const faultsFile = "BONDGATE_TEST_FAULTS"

func TestMain(m *testing.M) {
	file := os.Getenv(faultsFile)
	if file == "" {
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, deps{environ: os.Environ(), storage: registrytest.Faults(func() int {
		raw, err := os.ReadFile(file)
		if err != nil {
			return 0
		}
		n, _ := strconv.Atoi(strings.TrimSpace(string(raw)))
		return n
	})}, os.Args[1:])
	stop()
	os.Exit(code)
}

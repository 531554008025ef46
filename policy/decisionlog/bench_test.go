package decisionlog

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/bondgate/bondgate/policy"
)

func benchLog(b *testing.B) *Log {
	l, err := Open(b.Context(), Config{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close(context.Background()) })
	return l
}

// pull is a document of a usual size, about 2 KiB.
func pull(i int) func() map[string]any {
	return func() map[string]any {
		layers := make([]any, 8)
		for k := range layers {
			layers[k] = map[string]any{"digest": "sha256:4355a46b19d348dc2f57c046f8ef63d4538ebb936000f3c9ee954a27460dd865", "size": 30123 + k, "media_type": "application/vnd.oci.image.layer.v1.tar+gzip"}
		}
		return map[string]any{
			"api": 1, "action": "manifest.pull", "purpose": "use", "time": map[string]any{"ns": int64(1790000000000000000), "rfc3339": "2026-09-21T14:13:20Z"},
			"request":   map[string]any{"method": "GET", "path": "/v2/payments/api/manifests/1.4.2", "client_ip": "10.1.2.3", "user_agent": "docker/29.0"},
			"subject":   map[string]any{"kind": "user", "name": "alice", "issuer": "local", "groups": []string{"devs"}, "roles": []string{"developer"}, "claims": map[string]any{}},
			"project":   map[string]any{"name": "payments", "public": false, "labels": map[string]any{"tier": "prod"}},
			"reference": map[string]any{"kind": "tag", "value": strconv.Itoa(i)}, "artifact": map[string]any{"layers": layers, "annotations": map[string]any{}},
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	l := benchLog(b)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		r := record(strconv.Itoa(i), func(r *policy.Record) { r.Input = pull(i) })
		for l.Open(r) != nil {
			time.Sleep(time.Millisecond) // the flusher sets the pace
		}
	}
	if err := l.Close(context.Background()); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkWriteBy16(b *testing.B) {
	l := benchLog(b)
	b.SetParallelism(8)
	b.RunParallel(func(p *testing.PB) {
		for i := 0; p.Next(); i++ {
			if err := l.Write(context.Background(), record(strconv.Itoa(i), func(r *policy.Record) { r.Input = pull(i) })); err != nil {
				b.Error(err)
			}
		}
	})
}

func BenchmarkWriteByOne(b *testing.B) {
	l := benchLog(b)
	for i := 0; b.Loop(); i++ {
		if err := l.Write(b.Context(), record(strconv.Itoa(i), func(r *policy.Record) { r.Input = pull(i) })); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	e := newEncoder("w", nil, make([]byte, 32))
	doc := pull(1)()
	r := record("d1", func(r *policy.Record) { r.Input = func() map[string]any { return doc } })
	b.ReportAllocs()
	for b.Loop() {
		e.encode(r, 1, head{})
	}
}

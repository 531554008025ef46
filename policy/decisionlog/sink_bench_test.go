package decisionlog

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/bondgate/bondgate/policy"
)

// BenchmarkShip is the way of a record from the log to a service, over HTTP on
// the same machine; an operation is one record of about 2 KiB.
func BenchmarkShip(b *testing.B) {
	l := benchLog(b)
	for i := range b.N {
		r := record(strconv.Itoa(i), func(r *policy.Record) { r.Input = pull(i) })
		for l.Open(r) != nil {
			time.Sleep(time.Millisecond)
		}
	}
	wait := func(holds func() bool) {
		for !holds() {
			time.Sleep(time.Millisecond)
		}
	}
	wait(func() bool { l.mu.Lock(); defer l.mu.Unlock(); return l.pending == 0 })
	var sent int64
	service := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		sent += n
	}))
	defer service.Close()
	to, err := NewHTTP(HTTPConfig{URL: service.URL, Client: service.Client()})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	if err := l.Ship(Sink{Name: "bench", To: to}); err != nil {
		b.Fatal(err)
	}
	wait(func() bool { return l.Sinks()[0].Shipped >= int64(b.N) })
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
	b.ReportMetric(float64(sent)/float64(b.N), "sent-B/op")
}

package gateway

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bondgate/bondgate/policy"
)

// Labels for what is no action of the registry.
const (
	labelOther    = "other"
	labelUnrouted = "unrouted"
)

// metrics are the edge's own. Every series is made beforehand: the labels are a
// closed list, so a client cannot make one.
type metrics struct {
	inFlight prometheus.Gauge
	series   map[string]*series
}

// series are those of one label.
type series struct {
	codes [6]prometheus.Counter // by the first digit of the status; 0 for anything odd
	took  prometheus.Observer
	bytes prometheus.Counter
}

func newMetrics(registry *prometheus.Registry) (*metrics, error) {
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "bondgate_http_requests_total", Help: "Requests answered, by action and class of status.",
	}, []string{"action", "code"})
	took := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "bondgate_http_request_duration_seconds", Help: "Time from the request's header to the end of the answer.",
		Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 60},
	}, []string{"action"})
	sent := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "bondgate_http_response_bytes_total", Help: "Bytes of bodies sent.",
	}, []string{"action"})
	m := &metrics{
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "bondgate_http_requests_in_flight", Help: "Requests being answered.",
		}),
		series: map[string]*series{},
	}
	for _, c := range []prometheus.Collector{requests, took, sent, m.inFlight} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("gateway: registering metrics: %w", err)
		}
	}
	labels := []string{labelOther, labelUnrouted, "livez", "readyz", "metrics", "jwks", "token", "api"}
	for _, a := range policy.Actions() {
		labels = append(labels, string(a))
	}
	for _, label := range labels {
		s := &series{took: took.WithLabelValues(label), bytes: sent.WithLabelValues(label)}
		for i, class := range []string{"other", "1xx", "2xx", "3xx", "4xx", "5xx"} {
			s.codes[i] = requests.WithLabelValues(label, class)
		}
		m.series[label] = s
	}
	return m, nil
}

func (m *metrics) observe(label string, status int, took time.Duration, written int64) {
	s, ok := m.series[label]
	if !ok {
		s = m.series[labelOther]
	}
	class := status / 100
	switch {
	case status == 0:
		class = 2 // net/http answers so for a handler that wrote nothing
	case class < 1 || class > 5:
		class = 0
	}
	s.codes[class].Inc()
	s.took.Observe(took.Seconds())
	s.bytes.Add(float64(written))
}

package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"github.com/bondgate/bondgate/gateway"
	"github.com/bondgate/bondgate/gateway/egress"
	"github.com/bondgate/bondgate/policy"
	"github.com/bondgate/bondgate/policy/decisionlog"
)

// openSinks copies decisions to where the configuration says. None of the
// receivers is reached yet: one that is away must not keep the registry closed.
func (a *App) openSinks(context.Context) error {
	if len(a.cfg.Decisions.Sinks) == 0 {
		return nil
	}
	guard, err := a.guard()
	if err != nil {
		return err
	}
	sinks := make([]decisionlog.Sink, 0, len(a.cfg.Decisions.Sinks))
	for i, c := range a.cfg.Decisions.Sinks {
		to, err := a.receiver(c, guard)
		if err != nil {
			return fmt.Errorf("decisions.sinks[%d]: %w", i, err)
		}
		sinks = append(sinks, decisionlog.Sink{
			Name: c.Name, To: to, Records: c.BatchRecords, Bytes: c.BatchBytes, Labels: c.Labels,
			FromNow: c.From == fromNow, Timeout: time.Duration(c.Timeout),
		})
	}
	if err := a.record.Ship(sinks...); err != nil {
		return err
	}
	for i, c := range a.cfg.Decisions.Sinks {
		a.parts = append(a.parts, gateway.Part{
			Name: "sink " + c.Name,
			// A receiver that is away is no reason to serve nobody.
			Check: func(context.Context) error { return nil },
			Note:  func() string { return noteOfSink(a.record.Sinks()[i]) },
		})
	}
	return a.metrics.Register(sinkMetrics{a.record.Sinks})
}

func (a *App) receiver(c SinkConfig, guard *egress.Guard) (decisionlog.Receiver, error) {
	if c.Type == sinkStdout {
		return a.standardOutput()
	}
	guard, err := naming(guard, c.URL)
	if err != nil {
		return nil, err
	}
	cfg := egress.ClientConfig{InsecurePlaintext: c.PlainHTTP, Timeout: time.Duration(c.Timeout)}
	if c.CAFile != "" {
		own, err := certificates(c.CAFile)
		if err != nil {
			return nil, err
		}
		cfg.RootCAs = x509.NewCertPool()
		for _, cert := range own {
			cfg.RootCAs.AddCert(cert)
		}
	}
	if c.CertFile != "" {
		cert, err := loadCertificate(TLSConfig{CertFile: c.CertFile, KeyFile: c.KeyFile}, a.log)
		if err != nil {
			return nil, err
		}
		cfg.Certificate = func() *tls.Certificate { return cert.current(time.Now()) }
	}
	authorization := c.authorization()
	if _, err := authorization(); err != nil {
		return nil, err
	}
	return decisionlog.NewHTTP(decisionlog.HTTPConfig{
		URL: c.URL, Partition: c.Partition, Client: guard.Client(cfg), Authorization: authorization,
	})
}

// standardOutput is a descriptor of our own. A write to the first one after its
// reader has gone ends the process, whatever is written there; to another it is
// an error, and decisions wait.
func (a *App) standardOutput() (decisionlog.Receiver, error) {
	fd, err := unix.FcntlInt(os.Stdout.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, fmt.Errorf("standard output: %w", err)
	}
	// It is closed with the process: a write that hangs would hold a close.
	return decisionlog.NewLines(plainWriter{os.NewFile(uintptr(fd), "stdout")}), nil
}

// authorization answers what is shown to the service, as the files have it now.
func (c *SinkConfig) authorization() func() (string, error) {
	switch {
	case c.BearerTokenFile != "":
		return func() (string, error) {
			token, err := readSecret(c.BearerTokenFile)
			return "Bearer " + token, err
		}
	case c.PasswordFile != "":
		return func() (string, error) {
			password, err := readSecret(c.PasswordFile)
			return "Basic " + base64.StdEncoding.EncodeToString([]byte(c.Username+":"+password)), err
		}
	}
	return func() (string, error) { return "", nil }
}

// readSecret reads a file that holds a secret and a line's end at most.
func readSecret(file string) (string, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	s := strings.TrimSpace(string(raw))
	if s == "" || strings.ContainsAny(s, "\r\n") {
		return "", fmt.Errorf("%s does not hold one line: %w", file, policy.ErrInvalid)
	}
	return s, nil
}

// noteOfSink is what people read about a sink; empty when all is well.
func noteOfSink(s decisionlog.SinkStatus) string {
	var parts []string
	if s.LagRecords > 0 && (s.Err != "" || s.LagSeconds >= 10) {
		parts = append(parts, fmt.Sprintf("%d decisions are not delivered, the oldest for %d s", s.LagRecords, int64(s.LagSeconds)))
	}
	if s.Err != "" {
		parts = append(parts, "the last delivery failed: "+s.Err)
	}
	if s.Lost > 0 {
		parts = append(parts, fmt.Sprintf("%d decisions were lost to it", s.Lost))
	}
	if s.Elsewhere && len(parts) > 0 {
		parts = append(parts, "another replica ships")
	}
	return strings.Join(parts, "; ")
}

// sinkMetrics shows how the sinks are doing.
type sinkMetrics struct {
	sinks func() []decisionlog.SinkStatus
}

var (
	sinkLabels     = []string{"sink"}
	sinkLagRecords = prometheus.NewDesc("bondgate_decision_sink_lag_records",
		"Decisions in the log that the sink did not get yet; every replica shows the same.", sinkLabels, nil)
	sinkLagSeconds = prometheus.NewDesc("bondgate_decision_sink_lag_seconds",
		"Age of the oldest decision that the sink did not get yet.", sinkLabels, nil)
	sinkShipped = prometheus.NewDesc("bondgate_decision_sink_shipped_total",
		"Decisions that this process delivered, some of them more than once.", sinkLabels, nil)
	sinkBare = prometheus.NewDesc("bondgate_decision_sink_without_input_total",
		"Decisions that this process delivered without their input because they were too large.", sinkLabels, nil)
	sinkFailures = prometheus.NewDesc("bondgate_decision_sink_failures_total",
		"Deliveries of this process that failed; they are tried again.", sinkLabels, nil)
	sinkLost = prometheus.NewDesc("bondgate_decision_sink_lost_total",
		"Decisions that were gone from the log before the sink got them, since it exists.", sinkLabels, nil)
)

func (m sinkMetrics) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{sinkLagRecords, sinkLagSeconds, sinkShipped, sinkBare, sinkFailures, sinkLost} {
		out <- d
	}
}

func (m sinkMetrics) Collect(out chan<- prometheus.Metric) {
	for _, s := range m.sinks() {
		gauge, counter := prometheus.GaugeValue, prometheus.CounterValue
		for _, one := range []struct {
			desc *prometheus.Desc
			sort prometheus.ValueType
			v    float64
		}{
			{sinkLagRecords, gauge, float64(s.LagRecords)}, {sinkLagSeconds, gauge, s.LagSeconds},
			{sinkShipped, counter, float64(s.Shipped)}, {sinkBare, counter, float64(s.Bare)},
			{sinkFailures, counter, float64(s.Failures)}, {sinkLost, counter, float64(s.Lost)},
		} {
			out <- prometheus.MustNewConstMetric(one.desc, one.sort, one.v, s.Name)
		}
	}
}

package main

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// certificateLook is how often the files are looked at.
const certificateLook = time.Second

// certificate is the server's certificate, read again when a file changes. While
// the new files do not fit together the last good one is served.
type certificate struct {
	cfg TLSConfig
	log *slog.Logger

	mu     sync.Mutex
	looked time.Time
	seen   [2]fileState
	cert   *tls.Certificate
}

type fileState struct {
	size int64
	at   time.Time
}

func loadCertificate(cfg TLSConfig, log *slog.Logger) (*certificate, error) {
	c := &certificate{cfg: cfg, log: log}
	if err := c.load(); err != nil {
		return nil, fmt.Errorf("read the certificate: %w", err)
	}
	return c, nil
}

// tlsConfig is for a listener that serves the certificate.
func (c *certificate) tlsConfig() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return c.current(time.Now()), nil
		},
	}
}

func (c *certificate) current(now time.Time) *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Sub(c.looked) >= certificateLook {
		c.looked = now
		if c.changed() {
			if err := c.load(); err != nil {
				c.log.Error("the new certificate is not used, the last good one is", "error", err)
			} else {
				c.log.Info("the certificate was read again")
			}
		}
	}
	return c.cert
}

func (c *certificate) changed() bool { return c.states() != c.seen }

func (c *certificate) states() (out [2]fileState) {
	for i, file := range []string{c.cfg.CertFile, c.cfg.KeyFile} {
		if info, err := os.Stat(file); err == nil {
			out[i] = fileState{info.Size(), info.ModTime()}
		}
	}
	return out
}

// load remembers what it saw before it read: a file that changes in between is
// read again at the next look.
func (c *certificate) load() error {
	c.seen = c.states()
	cert, err := tls.LoadX509KeyPair(c.cfg.CertFile, c.cfg.KeyFile)
	if err != nil {
		return err
	}
	c.cert = &cert
	return nil
}

package ldap

import (
	"bytes"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/bondgate/bondgate/policy"
	"github.com/bondgate/bondgate/test/harness"
)

func TestTLS(t *testing.T) {
	s := harness.StartSlapd(t, tree())
	stranger := harness.StartSlapd(t, tree())
	plain := func(c *Config) { c.Servers = []string{s.URL} }
	for _, c := range []struct {
		sentence string
		change   []func(*Config)
		ok       bool
	}{
		{"LDAPS with the private authority", nil, true},
		{"as a pool", []func(*Config){func(c *Config) { c.CAFile, c.RootCAs = "", pool509(t, s.CAFile) }}, true},
		{"with another name that the certificate has", []func(*Config){func(c *Config) { c.ServerName = "ldap.example.org" }}, true},
		{"with the system's authorities", []func(*Config){func(c *Config) { c.CAFile = "" }}, false},
		{"with a stranger's authority", []func(*Config){func(c *Config) { c.CAFile = stranger.CAFile }}, false},
		{"with a name that the certificate has not", []func(*Config){func(c *Config) { c.ServerName = "ldap.example.com" }}, false},
		{"LDAPS to the port of plain LDAP", []func(*Config){func(c *Config) { c.Servers = []string{strings.Replace(s.URL, "ldap:", "ldaps:", 1)} }}, false},
		{"plain LDAP to the port of LDAPS", []func(*Config){func(c *Config) {
			c.Servers, c.InsecurePlaintext = []string{strings.Replace(s.TLSURL, "ldaps:", "ldap:", 1)}, true
		}}, false},
		{"StartTLS", []func(*Config){plain, func(c *Config) { c.StartTLS = true }}, true},
		{"StartTLS with a stranger's authority", []func(*Config){plain, func(c *Config) { c.StartTLS, c.CAFile = true, stranger.CAFile }}, false},
		{"StartTLS with a name that the certificate has not", []func(*Config){plain, func(c *Config) { c.StartTLS, c.ServerName = true, "ldap.example.com" }}, false},
		{"in the open, when that is said", []func(*Config){plain, func(c *Config) { c.InsecurePlaintext = true }}, true},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			p := provider(t, config(t, s, append(c.change, func(c *Config) { c.ConnectTimeout, c.Timeout = 2*time.Second, 2*time.Second })...))
			who, err := p.Authenticate(t.Context(), "default", "alice", "correct horse")
			if c.ok && (err != nil || who.ID != "alice") {
				t.Fatal(who, err)
			}
			if !c.ok && (!errors.Is(err, policy.ErrUnavailable) || !who.Anonymous()) {
				t.Fatal(who, err)
			}
		})
	}
	t.Run("a server that wants TLS is an outage, not a wrong password", func(t *testing.T) {
		s.Configure("dn: olcDatabase={1}mdb,cn=config\nchangetype: modify\nadd: olcSecurity\nolcSecurity: tls=1\n")
		p := provider(t, config(t, s, plain, func(c *Config) { c.InsecurePlaintext = true }))
		if _, err := p.Authenticate(t.Context(), "default", "alice", "correct horse"); !errors.Is(err, policy.ErrUnavailable) {
			t.Fatal(err)
		}
	})
}

// Somebody in between takes StartTLS away, in the ways there are. No password, of
// the account or of a person, may be seen.
func TestStrippedStartTLSSendsNothing(t *testing.T) {
	s := harness.StartSlapd(t, tree())
	// An extended response (RFC 4511 section 4.12) to message 1, with a result code.
	response := func(code byte) []byte { return []byte{0x30, 0x0c, 2, 1, 1, 0x78, 7, 0x0a, 1, code, 4, 0, 4, 0} }
	const oid = "1.3.6.1.4.1.1466.20037"
	for _, c := range []struct {
		sentence string
		answer   func([]byte) []byte
	}{
		{"the server says that it does not know StartTLS", func([]byte) []byte { return response(2) }},
		{"the server says that it does not want to", func([]byte) []byte { return response(53) }},
		{"the server says that it is busy", func([]byte) []byte { return response(51) }},
		{"the server refers elsewhere", func([]byte) []byte { return response(10) }},
		{"the server says yes and goes on in the open", func([]byte) []byte { return response(0) }},
		{"the server says yes and that everybody is let in", func([]byte) []byte {
			return append(response(0), 0x30, 0x0c, 2, 1, 2, 0x61, 7, 0x0a, 1, 0, 4, 0, 4, 0)
		}},
		{"the server answers another message", func([]byte) []byte { return []byte{0x30, 0x0c, 2, 1, 9, 0x78, 7, 0x0a, 1, 0, 4, 0, 4, 0} }},
		{"the server answers a bind", func([]byte) []byte { return []byte{0x30, 0x0c, 2, 1, 1, 0x61, 7, 0x0a, 1, 0, 4, 0, 4, 0} }},
		{"the server answers nonsense", func([]byte) []byte { return []byte("HTTP/1.1 200 OK\r\n\r\n") }},
		{"the request is taken out", func(request []byte) []byte {
			if bytes.Contains(request, []byte(oid)) {
				return []byte{}
			}
			return nil
		}},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			for _, way := range []func(*Config){func(*Config) {}, direct} {
				between := startRelay(t, s.Address)
				between.answer = c.answer
				p := provider(t, config(t, s, way, func(c *Config) {
					c.Servers, c.StartTLS = []string{"ldap://" + between.address}, true
					c.ConnectTimeout, c.Timeout = 500*time.Millisecond, 500*time.Millisecond
				}))
				who, err := p.Authenticate(t.Context(), "default", "alice", "correct horse")
				if !errors.Is(err, policy.ErrUnavailable) || !who.Anonymous() {
					t.Error(who, err)
				}
				if between.saw("correct horse") || between.saw("service") || between.saw("alice") {
					t.Error("a secret crossed the wire in the open")
				}
			}
		})
	}
	t.Run("without anybody in between it works, and nothing is seen", func(t *testing.T) {
		between := startRelay(t, s.Address)
		p := provider(t, config(t, s, func(c *Config) { c.Servers, c.StartTLS = []string{"ldap://" + between.address}, true }))
		if _, err := p.Authenticate(t.Context(), "default", "alice", "correct horse"); err != nil {
			t.Fatal(err)
		}
		if !between.saw(oid) || between.saw("correct horse") || between.saw("service") {
			t.Fatal("the relay did not see StartTLS, or saw a secret")
		}
	})
}

// A directory that is hostile, or is not one, may not fill the memory.
func TestAnEndlessAnswerIsCut(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	sent := make(chan int, 16)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				n := 0
				defer func() { sent <- n }()
				buf := make([]byte, 4096)
				if _, err := c.Read(buf); err != nil {
					return
				}
				_, _ = c.Write([]byte{0x30, 0x0c, 2, 1, 1, 0x61, 7, 0x0a, 1, 0, 4, 0, 4, 0}) // the bind succeeds
				if _, err := c.Read(buf); err != nil {
					return
				}
				// A search entry whose name is a gigabyte.
				_, _ = c.Write([]byte{0x30, 0x84, 0x40, 0, 0, 0, 2, 1, 2, 0x64, 0x84, 0x3f, 0xff, 0xff, 0xf0, 4, 0x84, 0x3f, 0xff, 0xff, 0xe0})
				for n < 256<<20 {
					m, err := c.Write(buf)
					n += m
					if err != nil {
						return
					}
				}
			}()
		}
	}()
	cfg := good()
	cfg.Servers, cfg.InsecurePlaintext, cfg.Dial = []string{"ldap://" + l.Addr().String()}, true, loopback(t)
	p := provider(t, cfg)
	if _, err := p.Authenticate(t.Context(), "default", "alice", "correct horse"); !errors.Is(err, policy.ErrUnavailable) {
		t.Fatal(err)
	}
	// What lies in the buffers of the two sockets comes on top.
	if n := <-sent; n > maxAnswer+(16<<20) {
		t.Fatalf("%d bytes were taken", n)
	}
}

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// authority signs certificates of workloads.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
		URIs: []*url.URL{{Scheme: "spiffe", Host: "acme.example"}},
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	return authority{cert, key}
}

func (a authority) write(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "authorities.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// issue makes the certificate of a workload.
func (a authority) issue(t *testing.T, id string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	uri, err := url.Parse(id)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), URIs: []*url.URL{uri}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}
}

func TestAWorkloadIsKnownByTheCertificateOfItsConnection(t *testing.T) {
	own, stranger := newAuthority(t), newAuthority(t)
	files := TLSConfig{CertFile: filepath.Join(t.TempDir(), "cert.pem"), KeyFile: filepath.Join(t.TempDir(), "key.pem")}
	writeCertificate(t, files, 1)
	s := start(t, t.TempDir(), withConfig(func(c *Config) {
		c.TLS = files
		c.Identity.SPIFFE = []SPIFFEConfig{{TrustDomain: "acme.example", CAFile: own.write(t)}}
	}))
	s.must("project", "create", "payments")
	s.must("member", "add", "payments", "spiffe://acme.example/ns/prod/sa/api", "guest", "--workload", "--issuer", "spiffe://acme.example")
	get := func(path string, certs ...tls.Certificate) (int, string) {
		client := &http.Client{Transport: &http.Transport{
			DisableKeepAlives: true,
			TLSClientConfig:   &tls.Config{InsecureSkipVerify: true, Certificates: certs}, //nolint:gosec // the server's own is not what is tested
		}}
		resp, err := client.Get("https://" + s.host() + path)
		if err != nil {
			return 0, err.Error()
		}
		defer func() { _ = resp.Body.Close() }()
		raw, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(raw)
	}
	api, other := own.issue(t, "spiffe://acme.example/ns/prod/sa/api"), own.issue(t, "spiffe://acme.example/ns/prod/sa/other")
	for _, c := range []struct {
		sentence, path string
		certs          []tls.Certificate
		status         int
	}{
		{"without a certificate nobody asks", "/v2/", nil, http.StatusUnauthorized},
		{"a workload is somebody", "/v2/", []tls.Certificate{api}, http.StatusOK},
		{"a member reads the project", "/v2/payments/app/tags/list", []tls.Certificate{api}, http.StatusNotFound},
		{"a certificate of another trust domain names nobody", "/v2/", []tls.Certificate{own.issue(t, "spiffe://evil.example/x")}, http.StatusUnauthorized},
		{"one of another authority is no handshake", "/v2/", []tls.Certificate{stranger.issue(t, "spiffe://acme.example/ns/prod/sa/api")}, 0},
	} {
		if status, body := get(c.path, c.certs...); status != c.status {
			t.Errorf("%s: %d %s", c.sentence, status, body)
		}
	}
	// Who may see the project is told that the repository is not there; who may not, the same word for word.
	_, seen := get("/v2/payments/app/tags/list", api)
	_, unseen := get("/v2/payments/app/tags/list", other)
	if !strings.Contains(seen, "NAME_UNKNOWN") || seen != unseen {
		t.Errorf("a member reads %s, a stranger %s", seen, unseen)
	}
}

func TestCertificatesOfClientsNeedTLSThatEndsHere(t *testing.T) {
	_, err := New(t.Context(), options(t, t.TempDir(), withConfig(func(c *Config) {
		c.Identity.SPIFFE = []SPIFFEConfig{{TrustDomain: "acme.example", CAFile: newAuthority(t).write(t)}}
	})))
	if err == nil || !strings.Contains(err.Error(), "tls.cert_file") {
		t.Fatal(err)
	}
}

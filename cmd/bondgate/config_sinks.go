package main

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"time"

	"github.com/bondgate/bondgate/policy/decisionlog"
)

// The types of sinks.
const (
	sinkHTTP   = "http"
	sinkStdout = "stdout"
)

// Where a new sink begins.
const (
	fromOldest = "oldest"
	fromNow    = "now"
)

// SinkConfig is one place beside the store that every decision is copied to.
type SinkConfig struct {
	Name            string            `yaml:"name" json:"name" jsonschema:"description=What the sink's place in the log is remembered by: a sink with another name begins anew."`
	Type            string            `yaml:"type" json:"type" jsonschema:"description=http posts gzipped JSON as OPA does to a service of decision logs. stdout writes a JSON line a decision to standard output.,enum=http,enum=stdout"`
	URL             string            `yaml:"url,omitempty" json:"url,omitempty" jsonschema:"description=The service. /logs and the partition are added to it. No credentials: they are in files."`
	Partition       string            `yaml:"partition,omitempty" json:"partition,omitempty" jsonschema:"description=Part of the path after /logs."`
	Labels          map[string]string `yaml:"labels,omitempty" json:"labels,omitempty" jsonschema:"description=Labels of every event. Its id is the replica that decided; its app is bondgate unless it is given here."`
	BearerTokenFile string            `yaml:"bearer_token_file,omitempty" json:"bearer_token_file,omitempty" jsonschema:"description=File with a token for the service. It is read for each delivery."`
	Username        string            `yaml:"username,omitempty" json:"username,omitempty" jsonschema:"description=Name for the service if it has no tokens."`
	PasswordFile    string            `yaml:"password_file,omitempty" json:"password_file,omitempty" jsonschema:"description=File with the password. It is read for each delivery."`
	CAFile          string            `yaml:"ca_file,omitempty" json:"ca_file,omitempty" jsonschema:"description=PEM file with the authorities of the service's certificate."`
	CertFile        string            `yaml:"cert_file,omitempty" json:"cert_file,omitempty" jsonschema:"description=PEM file with a certificate to show to the service. It is read again when it changes."`
	KeyFile         string            `yaml:"key_file,omitempty" json:"key_file,omitempty" jsonschema:"description=PEM file with its private key."`
	PlainHTTP       bool              `yaml:"insecure_plain_http,omitempty" json:"insecure_plain_http,omitempty" jsonschema:"description=Allow a service without TLS: whoever is in between reads and changes decisions."`
	From            string            `yaml:"from,omitempty" json:"from,omitempty" jsonschema:"description=Where a new sink begins: with the oldest decision that is kept or with those made from now on.,enum=oldest,enum=now,default=oldest"`
	BatchRecords    int               `yaml:"batch_records,omitempty" json:"batch_records,omitempty" jsonschema:"description=Decisions that are sent at a time.,minimum=1,maximum=10000,default=1000"`
	BatchBytes      int               `yaml:"batch_bytes,omitempty" json:"batch_bytes,omitempty" jsonschema:"description=Bytes of JSON that are sent at a time. A decision that is larger goes without its input and says so.,minimum=4096,maximum=67108864,default=1048576"`
	Timeout         Duration          `yaml:"timeout,omitempty" json:"timeout,omitempty" jsonschema:"description=Bound on one delivery.,default=30s"`
}

// complete fills in the defaults.
func (c *SinkConfig) complete() {
	if c.From == "" {
		c.From = fromOldest
	}
	number(&c.BatchRecords, decisionlog.DefaultSinkRecords)
	number(&c.BatchBytes, decisionlog.DefaultSinkBytes)
	number(&c.Timeout, Duration(30*time.Second))
}

var sinkName = regexp.MustCompile(`^[a-z0-9]([a-z0-9_-]{0,30}[a-z0-9])?$`)

// validateSinks says what is wrong with them. Addresses are not repeated: who
// wrote credentials into one must not find them in a log too.
func validateSinks(sinks []SinkConfig) []problem {
	var all []problem
	var names []string
	for i, c := range sinks {
		bad := func(key, format string, args ...any) {
			path := fmt.Sprintf("decisions.sinks[%d]", i)
			if key != "" {
				path += "." + key
			}
			all = append(all, problem{path, fmt.Sprintf(format, args...)})
		}
		switch {
		case !sinkName.MatchString(c.Name):
			bad("name", "%q is not 1 to 32 of a-z 0-9 _ -", c.Name)
		case slices.Contains(names, c.Name):
			bad("name", "%q is the name of another sink", c.Name)
		}
		names = append(names, c.Name)
		switch c.Type {
		case sinkHTTP:
			c.validateHTTP(bad)
		case sinkStdout:
			if c.URL != "" || c.Partition != "" || c.BearerTokenFile != "" || c.Username != "" || c.PasswordFile != "" ||
				c.CAFile != "" || c.CertFile != "" || c.KeyFile != "" || c.PlainHTTP {
				bad("", "standard output has no address, credentials or certificates")
			}
		default:
			bad("type", "%q is not one of http, stdout", c.Type)
		}
		if c.From != fromOldest && c.From != fromNow {
			bad("from", "%q is not one of oldest, now", c.From)
		}
		if c.BatchRecords < 1 || c.BatchRecords > 10_000 {
			bad("batch_records", "%d is not between 1 and 10000", c.BatchRecords)
		}
		if c.BatchBytes < decisionlog.MinSinkBytes || c.BatchBytes > decisionlog.MaxSinkBytes {
			bad("batch_bytes", "%d is not between %d and %d", c.BatchBytes, decisionlog.MinSinkBytes, decisionlog.MaxSinkBytes)
		}
		if t := time.Duration(c.Timeout); t < time.Second || t > 45*time.Second {
			bad("timeout", "%s is not between 1s and 45s", t)
		}
	}
	return all
}

func (c *SinkConfig) validateHTTP(bad func(key, format string, args ...any)) {
	u, err := url.Parse(c.URL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		bad("url", "it is not http(s)://host[:port][/path]")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		bad("url", "it has more than a scheme, a host and a path: credentials belong into files")
	case u.Scheme == "http" && !c.PlainHTTP:
		bad("url", "decisions would cross the network in the clear: use https, or set insecure_plain_http")
	}
	if c.BearerTokenFile != "" && (c.Username != "" || c.PasswordFile != "") {
		bad("bearer_token_file", "a token and a password exclude each other")
	}
	if (c.Username == "") != (c.PasswordFile == "") {
		bad("username", "username and password_file go together")
	}
	if (c.CertFile == "") != (c.KeyFile == "") {
		bad("cert_file", "cert_file and key_file go together")
	}
}

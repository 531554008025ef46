package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/bondgate/bondgate/policy"
)

func TestLoadConfig(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(dir, "dsn")
	if err := os.WriteFile(secret, []byte("postgres://u:p@db/x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		yaml  string
		env   []string
		check func(Config) bool
		errs  []string
	}{
		"an empty file is a closed registry on loopback": {
			check: func(c Config) bool {
				return c.Listen == "localhost:5000" && c.Projects.AutoCreate == autoAdmins &&
					c.Policy.Deadline == Duration(50*time.Millisecond) && c.HeadDenial == 403
			},
		},
		"an unknown key is told with its line and the key that was meant": {
			yaml: "listen: localhost:1\n\nlistn: x\n",
			errs: []string{"bondgate.yaml:3: unknown key listn (did you mean listen?)"},
		},
		"an unknown key of a section is told with its path": {
			yaml: "tokens:\n  ttl: 5m\n  colour: red\n",
			errs: []string{"bondgate.yaml:3: unknown key tokens.colour"},
		},
		"every problem is told at once": {
			yaml: "head_denial: 404\nlog:\n  level: loud\n  format: xml\n",
			errs: []string{"bondgate.yaml:1: head_denial", "bondgate.yaml:3: log.level", "bondgate.yaml:4: log.format"},
		},
		"a repeated key is an error": {
			yaml: "listen: localhost:1\nlisten: localhost:2\n",
			errs: []string{"bondgate.yaml:2: listen is given twice, first in line 1"},
		},
		"a second document is an error": {
			yaml: "listen: localhost:1\n---\nlisten: localhost:2\n",
			errs: []string{"one document is expected"},
		},
		"a value of another type is an error with its line": {
			yaml: "tokens:\n  ttl: soon\n",
			errs: []string{`bondgate.yaml:2: tokens.ttl: "soon" is not a duration`},
		},
		"a list where a section belongs is an error": {
			yaml: "tls: [a]\n",
			errs: []string{"bondgate.yaml:1: tls: keys and values are expected"},
		},
		"plain HTTP off loopback is refused": {
			yaml: "listen: 0.0.0.0:5000\n",
			errs: []string{"bondgate.yaml:1: listen: plain HTTP on 0.0.0.0:5000 would send passwords in the clear"},
		},
		"plain HTTP on every interface is refused": {
			yaml: "listen: \":5000\"\n",
			errs: []string{"would send passwords in the clear"},
		},
		"plain HTTP off loopback is accepted behind a proxy": {
			yaml:  "listen: 0.0.0.0:5000\nbehind_tls_proxy: true\ntrusted_proxies: [10.0.0.0/8, 192.0.2.1]\n",
			check: func(c Config) bool { return c.BehindTLSProxy && len(c.TrustedProxies) == 2 },
		},
		"IPv6 loopback needs no TLS": {
			yaml:  "listen: \"[::1]:5000\"\n",
			check: func(c Config) bool { return c.Listen == "[::1]:5000" },
		},
		"a certificate without its key is an error": {
			yaml: "tls: {cert_file: a.pem}\n",
			errs: []string{"bondgate.yaml:1: tls: cert_file and key_file go together"},
		},
		"the environment has its say over the file": {
			yaml:  "listen: localhost:1\nlog: {level: warn}\n",
			env:   []string{"BONDGATE_LISTEN=localhost:2", "BONDGATE_LOG_LEVEL=debug", "BONDGATE_PORT=tcp://10.0.0.1"},
			check: func(c Config) bool { return c.Listen == "localhost:2" && c.Log.Level == "debug" },
		},
		"a storage secret comes from the environment": {
			yaml: "storage: {driver: s3, parameters: {bucket: b}}\n",
			env:  []string{"BONDGATE_STORAGE_PARAMETERS_SECRETKEY=hush"},
			check: func(c Config) bool {
				return c.Storage.Parameters["secretkey"] == "hush" && c.Storage.Parameters["bucket"] == "b"
			},
		},
		"a bad variable is told by its name": {
			env:  []string{"BONDGATE_TOKENS_TTL=x"},
			errs: []string{"BONDGATE_TOKENS_TTL: "},
		},
		"the database's secret comes from a file": {
			yaml:  "database: {dsn_file: " + secret + "}\n",
			check: func(c Config) bool { return c.Database.DSN == "postgres://u:p@db/x" },
		},
		"a storage secret comes from a file": {
			yaml: "storage: {driver: s3, parameters: {secretkey_file: " + secret + "}}\n",
			check: func(c Config) bool {
				return c.Storage.Parameters["secretkey"] == "postgres://u:p@db/x" && len(c.Storage.Parameters) == 1
			},
		},
		"a secret's file that is missing is told with its line": {
			yaml: "database:\n  dsn_file: /nonexistent/dsn\n",
			errs: []string{"bondgate.yaml:2: database.dsn_file: "},
		},
		"a secret given twice is an error": {
			yaml: "database:\n  dsn: sqlite:x\n  dsn_file: " + secret + "\n",
			errs: []string{"bondgate.yaml:3: database: dsn and dsn_file exclude each other"},
		},
		"a policy folder that is missing is an error": {
			yaml: "policy: {dir: /nonexistent/policy}\n",
			errs: []string{"bondgate.yaml:1: policy.dir"},
		},
		"a shadow looks at all unless a share is written": {
			yaml:  "policy: {shadow: {dir: /nonexistent/next}}\n",
			check: func(c Config) bool { return c.Policy.Shadow.Share == 1 && c.Policy.Shadow.Dir == "/nonexistent/next" },
		},
		"a share is a number of the file or of a variable": {
			yaml:  "policy: {shadow: {share: 0.5}}\n",
			env:   []string{"BONDGATE_POLICY_SHADOW_SHARE=0.25"},
			check: func(c Config) bool { return c.Policy.Shadow.Share == 0.25 },
		},
		"a share is a part": {
			yaml: "policy:\n  shadow:\n    share: 1.5\n",
			errs: []string{"bondgate.yaml:3: policy.shadow.share"},
		},
		"a share is not less than nothing": {
			yaml: "policy:\n  shadow:\n    share: -0.1\n",
			errs: []string{"bondgate.yaml:3: policy.shadow.share"},
		},
		"a share is a number": {
			yaml: "policy:\n  shadow:\n    share: NaN\n",
			errs: []string{"bondgate.yaml:3: policy.shadow.share"},
		},
		"a trusted proxy that is no network is told with its own line": {
			yaml: "trusted_proxies:\n  - 10.0.0.0/8\n  - everywhere\n",
			errs: []string{"bondgate.yaml:3: trusted_proxies[1]"},
		},
		"what is told beside a value that cannot be read is only what somebody wrote": {
			yaml: "limits:\n  blob_bytes: many\n  referrers: -3\ntokens:\n  ttl: 1s\n",
			errs: []string{"bondgate.yaml:2: limits.blob_bytes", "bondgate.yaml:3: limits.referrers", "bondgate.yaml:5: tokens.ttl"},
		},
		"a variable's value is the variable's problem": {
			yaml: "listen: localhost:1\ntokens:\n  ttl: 5m\n",
			env:  []string{"BONDGATE_LISTEN=0.0.0.0:1", "BONDGATE_TOKENS_TTL=1s"},
			errs: []string{"BONDGATE_LISTEN: listen: plain HTTP", "BONDGATE_TOKENS_TTL: tokens.ttl: 1s"},
		},
		"a file that is a list has no keys": {
			yaml: "- listen\n",
			errs: []string{"bondgate.yaml:1: keys and values are expected"},
		},
		"a syntax error is told": {
			yaml: "listen: [\n",
			errs: []string{"bondgate.yaml: "},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "bondgate.yaml")
			if err := os.WriteFile(file, []byte(tt.yaml), 0o600); err != nil {
				t.Fatal(err)
			}
			c, err := LoadConfig(file, tt.env)
			if len(tt.errs) == 0 && err != nil {
				t.Fatal(err)
			}
			if tt.check != nil && !tt.check(c) {
				t.Fatalf("the configuration is %+v", c)
			}
			if len(tt.errs) > 0 && !errors.Is(err, policy.ErrInvalid) {
				t.Fatalf("the error is %v", err)
			}
			for _, want := range tt.errs {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not told in:\n%s", want, err)
				}
			}
		})
	}
}

func TestAFlagsValueIsTheFlagsProblem(t *testing.T) {
	_, err := LoadConfig("", nil, Override{Key: "listen", Flag: "listen", Set: func(c *Config) { c.Listen = "[::]:1" }})
	if err == nil || !strings.Contains(err.Error(), "\n--listen: listen: plain HTTP on [::]:1") {
		t.Fatalf("the error is %v", err)
	}
}

func TestConfigErrorsNeverTellASecret(t *testing.T) {
	_, err := LoadConfig("", []string{"BONDGATE_DATABASE_DSN=mysql://u:hush@db/x"})
	if err == nil || strings.Contains(err.Error(), "hush") {
		t.Fatalf("the error is %v", err)
	}
}

func TestConfigSchema(t *testing.T) {
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(configSchema())))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("config.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("config.json")
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		doc string
		ok  bool
	}{
		"nothing is a configuration":            {`{}`, true},
		"known keys pass":                       {`{"listen":"localhost:1","tokens":{"ttl":"5m"},"storage":{"driver":"s3","parameters":{"any":1}}}`, true},
		"an unknown key does not":               {`{"listn":"x"}`, false},
		"an unknown key of a section does not":  {`{"tokens":{"colour":"red"}}`, false},
		"a value outside its list does not":     {`{"projects":{"auto_create":"all"}}`, false},
		"a duration without a unit does not":    {`{"tokens":{"ttl":"5"}}`, false},
		"a status that is no denial's does not": {`{"head_denial":404}`, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			v, err := jsonschema.UnmarshalJSON(strings.NewReader(tt.doc))
			if err != nil {
				t.Fatal(err)
			}
			if err := schema.Validate(v); (err == nil) != tt.ok {
				t.Fatalf("the schema says %v", err)
			}
		})
	}
}

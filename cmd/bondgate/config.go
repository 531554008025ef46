package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/bondgate/bondgate/policy"
)

// Config is everything that can be said about a server, in one YAML file. The
// zero Config, completed with [Config.complete], is a closed registry on the
// loopback interface with everything embedded under ./data.
type Config struct {
	Listen         string         `yaml:"listen,omitempty" json:"listen,omitempty" jsonschema:"description=Address to serve on as host:port. Plain HTTP is refused off loopback unless behind_tls_proxy is set.,default=localhost:5000"`
	DataDir        string         `yaml:"data_dir,omitempty" json:"data_dir,omitempty" jsonschema:"description=Folder for the database and decisions and the socket of the CLI and (filesystem driver) the images.,default=data"`
	ExternalURL    string         `yaml:"external_url,omitempty" json:"external_url,omitempty" jsonschema:"description=How people reach this server (scheme and host and port). It is printed in the login line of a first start; tokens follow the host of each request."`
	TLS            TLSConfig      `yaml:"tls,omitempty" json:"tls,omitzero" jsonschema:"description=Certificate to serve HTTPS with. Both files are read again when they change."`
	BehindTLSProxy bool           `yaml:"behind_tls_proxy,omitempty" json:"behind_tls_proxy,omitempty" jsonschema:"description=A proxy in front terminates TLS: plain HTTP off loopback is accepted."`
	TrustedProxies []string       `yaml:"trusted_proxies,omitempty" json:"trusted_proxies,omitempty" jsonschema:"description=Addresses or networks of proxies whose X-Forwarded-For is believed."`
	Storage        StorageConfig  `yaml:"storage,omitempty" json:"storage,omitzero" jsonschema:"description=Where blobs and manifests are kept."`
	Database       DatabaseConfig `yaml:"database,omitempty" json:"database,omitzero" jsonschema:"description=Where people and projects and the index are kept."`
	Policy         PolicyConfig   `yaml:"policy,omitempty" json:"policy,omitzero" jsonschema:"description=What decides."`
	Tokens         TokensConfig   `yaml:"tokens,omitempty" json:"tokens,omitzero" jsonschema:"description=The tokens that registry clients get for a password."`
	Projects       ProjectsConfig `yaml:"projects,omitempty" json:"projects,omitzero" jsonschema:"description=How projects come to be."`
	Identity       IdentityConfig `yaml:"identity,omitempty" json:"identity,omitzero" jsonschema:"description=Who vouches for people and machines beside the gateway's own accounts."`
	Limits         LimitsConfig   `yaml:"limits,omitempty" json:"limits,omitzero" jsonschema:"description=Bounds on what clients may send."`
	HeadDenial     int            `yaml:"head_denial,omitempty" json:"head_denial,omitempty" jsonschema:"description=Status of a denied HEAD. 405 makes docker show the reason of the GET that it tries next.,enum=403,enum=405,default=403"`
	Sparse         bool           `yaml:"sparse_manifests,omitempty" json:"sparse_manifests,omitempty" jsonschema:"description=Take manifests that name layers or manifests that are not there. By default they are refused with MANIFEST_BLOB_UNKNOWN."`
	Log            LogConfig      `yaml:"log,omitempty" json:"log,omitzero" jsonschema:"description=The server's own log on standard error."`
	Decisions      DecisionConfig `yaml:"decisions,omitempty" json:"decisions,omitzero" jsonschema:"description=The record of decisions."`
}

// TLSConfig names a certificate and its key, PEM files both.
type TLSConfig struct {
	CertFile string `yaml:"cert_file,omitempty" json:"cert_file,omitempty" jsonschema:"description=PEM file with the certificate and its chain."`
	KeyFile  string `yaml:"key_file,omitempty" json:"key_file,omitempty" jsonschema:"description=PEM file with the private key."`
}

// StorageConfig chooses the engine's driver.
type StorageConfig struct {
	Driver     string         `yaml:"driver,omitempty" json:"driver,omitempty" jsonschema:"description=Storage driver.,enum=filesystem,enum=inmemory,enum=s3,enum=azure,enum=gcs,default=filesystem"`
	Parameters map[string]any `yaml:"parameters,omitempty" json:"parameters,omitempty" jsonschema:"description=The driver's own parameters. A parameter NAME_file is replaced by NAME with the content of that file."`
}

// DatabaseConfig says where rows live.
type DatabaseConfig struct {
	DSN     string `yaml:"dsn,omitempty" json:"dsn,omitempty" jsonschema:"description=sqlite:PATH or postgres://... . Default: sqlite in the data folder."`
	DSNFile string `yaml:"dsn_file,omitempty" json:"dsn_file,omitempty" jsonschema:"description=File that holds the dsn."`
}

// PolicyConfig says what decides and how long it may take.
type PolicyConfig struct {
	Dir        string           `yaml:"dir,omitempty" json:"dir,omitempty" jsonschema:"description=Folder with an author's bundle that is added to the shipped one and reloaded when a file changes."`
	Deadline   Duration         `yaml:"deadline,omitempty" json:"deadline,omitempty" jsonschema:"description=A decision that takes longer is none: the client gets 503.,default=50ms"`
	Shadow     ShadowConfig     `yaml:"shadow,omitempty" json:"shadow,omitzero" jsonschema:"description=A second bundle that is judged by beside the one in force and decides nothing."`
	BreakGlass BreakGlassConfig `yaml:"breakglass,omitempty" json:"breakglass,omitzero" jsonschema:"description=Grants for an emergency."`
}

// ShadowConfig says which bundle runs in the shadow, and on how much.
type ShadowConfig struct {
	Dir   string  `yaml:"dir,omitempty" json:"dir,omitempty" jsonschema:"description=Folder with the bundle that would be next: what it would decide otherwise is counted and never answered. A folder that is broken or not there keeps no server from starting."`
	Share float64 `yaml:"share,omitempty" json:"share,omitempty" jsonschema:"description=Part of the decisions that are judged by it too.,minimum=0,maximum=1,default=1"`
}

// TokensConfig sets the lives of tokens and of the keys that sign them.
type TokensConfig struct {
	TTL    Duration `yaml:"ttl,omitempty" json:"ttl,omitempty" jsonschema:"description=How long a token is good for.,default=5m"`
	Rotate Duration `yaml:"rotate,omitempty" json:"rotate,omitempty" jsonschema:"description=How often a new signing key is made.,default=720h"`
}

// ProjectsConfig says who may make a project by pushing into it.
type ProjectsConfig struct {
	AutoCreate string `yaml:"auto_create,omitempty" json:"auto_create,omitempty" jsonschema:"description=Whose first push into a project that does not exist creates it (private): admins or writers or off.,enum=admins,enum=writers,enum=off,default=admins"`
}

// LogConfig sets the server's own log.
type LogConfig struct {
	Level  string `yaml:"level,omitempty" json:"level,omitempty" jsonschema:"description=Least level that is written.,enum=debug,enum=info,enum=warn,enum=error,default=info"`
	Format string `yaml:"format,omitempty" json:"format,omitempty" jsonschema:"description=text or json.,enum=text,enum=json,default=text"`
}

// DecisionConfig sets how long decisions are kept, and where they are copied to.
type DecisionConfig struct {
	RetentionDays int          `yaml:"retention_days,omitempty" json:"retention_days,omitempty" jsonschema:"description=Days that decisions are kept.,minimum=1,default=90"`
	Sinks         []SinkConfig `yaml:"sinks,omitempty" json:"sinks,omitempty" jsonschema:"description=Where every decision is copied to beside the record."`
}

// Who may create a project by pushing into it.
const (
	autoAdmins  = "admins"
	autoWriters = "writers"
	autoOff     = "off"
)

// complete fills in the defaults. Paths in the data folder follow data_dir.
func (c *Config) complete() {
	def := func(s *string, v string) {
		if *s == "" {
			*s = v
		}
	}
	dur := func(d *Duration, v time.Duration) {
		if *d == 0 {
			*d = Duration(v)
		}
	}
	def(&c.Listen, "localhost:5000")
	def(&c.DataDir, "data")
	def(&c.Storage.Driver, "filesystem")
	if c.Storage.Driver == "filesystem" && c.Storage.Parameters["rootdirectory"] == nil {
		params := map[string]any{}
		for k, v := range c.Storage.Parameters {
			params[k] = v
		}
		params["rootdirectory"] = filepath.Join(c.DataDir, "storage")
		c.Storage.Parameters = params
	}
	def(&c.Database.DSN, "sqlite:"+filepath.Join(c.DataDir, "bondgate.db"))
	dur(&c.Policy.Deadline, 50*time.Millisecond)
	if c.Policy.Shadow.Share == 0 {
		c.Policy.Shadow.Share = 1
	}
	c.Policy.BreakGlass.complete()
	dur(&c.Tokens.TTL, 5*time.Minute)
	dur(&c.Tokens.Rotate, 30*24*time.Hour)
	def(&c.Projects.AutoCreate, autoAdmins)
	c.Limits.complete()
	c.Identity.complete()
	if c.HeadDenial == 0 {
		c.HeadDenial = 403
	}
	def(&c.Log.Level, "info")
	def(&c.Log.Format, "text")
	if c.Decisions.RetentionDays == 0 {
		c.Decisions.RetentionDays = 90
	}
	for i := range c.Decisions.Sinks {
		c.Decisions.Sinks[i].complete()
	}
}

// problem is one thing that is wrong with a configuration, at the key's path.
type problem struct{ path, text string }

// validate says everything that is wrong with a completed configuration.
func (c *Config) validate() []problem {
	var all []problem
	bad := func(path, format string, args ...any) {
		all = append(all, problem{path, fmt.Sprintf(format, args...)})
	}
	oneOf := func(path, v string, allowed ...string) {
		if !slices.Contains(allowed, v) {
			bad(path, "%q is not one of %s", v, strings.Join(allowed, ", "))
		}
	}
	between := func(path string, v Duration, low, high time.Duration) {
		if time.Duration(v) < low || time.Duration(v) > high {
			bad(path, "%s is not between %s and %s", time.Duration(v), low, high)
		}
	}
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		bad("listen", "%q is not host:port", c.Listen)
	}
	if (c.TLS.CertFile == "") != (c.TLS.KeyFile == "") {
		bad("tls", "cert_file and key_file go together")
	}
	if err == nil && c.TLS.CertFile == "" && !c.BehindTLSProxy && !loopback(host) {
		bad("listen", "plain HTTP on %s would send passwords in the clear: set tls.cert_file and tls.key_file, "+
			"or behind_tls_proxy when a proxy terminates TLS", c.Listen)
	}
	if c.ExternalURL != "" {
		u, err := url.Parse(c.ExternalURL)
		switch {
		case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
			bad("external_url", "%q is not http(s)://host[:port]", c.ExternalURL)
		case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil:
			bad("external_url", "%q has more than a scheme, a host and a port", c.ExternalURL)
		}
	}
	for i, p := range c.TrustedProxies {
		if _, err := parsePrefix(p); err != nil {
			bad(fmt.Sprintf("trusted_proxies[%d]", i), "%q is neither an address nor a network", p)
		}
	}
	oneOf("storage.driver", c.Storage.Driver, "filesystem", "inmemory", "s3", "s3aws", "azure", "gcs")
	if !strings.HasPrefix(c.Database.DSN, "sqlite:") && !strings.HasPrefix(c.Database.DSN, "postgres://") &&
		!strings.HasPrefix(c.Database.DSN, "postgresql://") {
		bad("database.dsn", "it is neither sqlite:PATH nor postgres://…") // the value may hold a password
	}
	if c.Policy.Dir != "" {
		if info, err := os.Stat(c.Policy.Dir); err != nil || !info.IsDir() {
			bad("policy.dir", "%q is not a folder", c.Policy.Dir)
		}
	}
	between("policy.deadline", c.Policy.Deadline, time.Millisecond, 10*time.Second)
	if share := c.Policy.Shadow.Share; !(share > 0 && share <= 1) {
		bad("policy.shadow.share", "%g is not between 0 and 1", share)
	}
	between("policy.breakglass.max", c.Policy.BreakGlass.Max, time.Minute, longestGlass)
	between("tokens.ttl", c.Tokens.TTL, time.Minute, time.Hour)
	between("tokens.rotate", c.Tokens.Rotate, time.Hour, 365*24*time.Hour)
	oneOf("projects.auto_create", c.Projects.AutoCreate, autoAdmins, autoWriters, autoOff)
	atLeast := func(path string, v, low int64) {
		if v < low {
			bad(path, "%d is less than %d", v, low)
		}
	}
	all = append(all, c.Limits.validate()...)
	all = append(all, c.Identity.validate()...)
	if c.HeadDenial != 403 && c.HeadDenial != 405 {
		bad("head_denial", "%d is neither 403 nor 405", c.HeadDenial)
	}
	oneOf("log.level", c.Log.Level, "debug", "info", "warn", "error")
	oneOf("log.format", c.Log.Format, "text", "json")
	atLeast("decisions.retention_days", int64(c.Decisions.RetentionDays), 1)
	return append(all, validateSinks(c.Decisions.Sinks)...)
}

// Override is a value that a flag gives to a key of the configuration.
type Override struct {
	// Key is the key's path and Flag the flag's name, for the words of a problem.
	Key, Flag string
	Set       func(*Config)
}

// LoadConfig reads the file (none when it is empty), lets BONDGATE_* variables
// of environ and then overrides have their say, reads the secrets' files, fills
// in the defaults and validates. Every problem is told, each with its line, its
// variable or its flag where it has one; the error wraps [policy.ErrInvalid].
func LoadConfig(file string, environ []string, overrides ...Override) (Config, error) {
	var c Config
	doc := document{name: file}
	if file != "" {
		raw, err := os.ReadFile(file)
		if err != nil {
			return Config{}, fmt.Errorf("reading the configuration: %w", err)
		}
		doc.decode(bytes.NewReader(raw), &c)
	}
	doc.environment(environ, &c)
	for _, o := range overrides {
		o.Set(&c)
		doc.overridden(o.Key, "--"+o.Flag)
	}
	doc.secrets(&c)
	c.complete()
	for _, p := range c.validate() {
		if !doc.unread(p.path) {
			doc.fail(p.path, "%s: %s", p.path, p.text)
		}
	}
	if len(doc.errs) > 0 {
		return Config{}, fmt.Errorf("%w configuration:\n%w", policy.ErrInvalid, errors.Join(doc.errs...))
	}
	return c, nil
}

// loopback reports whether a host to listen on is reachable from this machine only.
func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

func parsePrefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	return netip.ParsePrefix(s)
}

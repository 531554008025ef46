package main

import (
	"fmt"
	"time"
)

// LimitsConfig bounds what clients may send and what is held for them. Sizes are bytes.
type LimitsConfig struct {
	BlobBytes          int64        `yaml:"blob_bytes,omitempty" json:"blob_bytes,omitempty" jsonschema:"description=Largest blob in bytes.,minimum=1048576,default=1099511627776"`
	ChunkBytes         int64        `yaml:"chunk_bytes,omitempty" json:"chunk_bytes,omitempty" jsonschema:"description=Smallest chunk in bytes that clients of chunked uploads are asked to send. 0 asks for none.,minimum=0"`
	Referrers          int          `yaml:"referrers,omitempty" json:"referrers,omitempty" jsonschema:"description=Manifests that may refer to one subject.,minimum=1,default=1000"`
	ManifestCacheBytes int64        `yaml:"manifest_cache_bytes,omitempty" json:"manifest_cache_bytes,omitempty" jsonschema:"description=Memory for bodies of manifests in bytes.,minimum=1048576,default=33554432"`
	ManifestBytes      int64        `yaml:"manifest_bytes,omitempty" json:"manifest_bytes,omitempty" jsonschema:"description=Largest manifest in bytes: a larger one is 413.,minimum=65536,maximum=4194304,default=4194304"`
	ManifestTags       int          `yaml:"manifest_tags,omitempty" json:"manifest_tags,omitempty" jsonschema:"description=Tags that one manifest may carry.,minimum=1,default=1000"`
	Page               int          `yaml:"page,omitempty" json:"page,omitempty" jsonschema:"description=Names in one page of a list at most: a client that asks for more gets a link to the next page.,minimum=1,default=10000"`
	Scopes             int          `yaml:"scopes,omitempty" json:"scopes,omitempty" jsonschema:"description=Scopes that a token may be asked for: more are 413.,minimum=1,maximum=100,default=100"`
	Uploads            int          `yaml:"uploads_per_principal,omitempty" json:"uploads_per_principal,omitempty" jsonschema:"description=Uploads that one principal may have open: one more is 429 with Retry-After.,minimum=1,default=500"`
	UploadExpiry       Duration     `yaml:"upload_expiry,omitempty" json:"upload_expiry,omitempty" jsonschema:"description=An upload that gets nothing for so long is removed.,default=24h"`
	BodyIdle           Duration     `yaml:"body_idle,omitempty" json:"body_idle,omitempty" jsonschema:"description=How long nothing of a push's body may come before the answer is 408. A slow push that goes on is not cut.,default=2m"`
	BodyTime           Duration     `yaml:"body_time,omitempty" json:"body_time,omitempty" jsonschema:"description=How long the whole body of a request that is no push may take before the answer is 408.,default=1m"`
	WriteIdle          Duration     `yaml:"write_idle,omitempty" json:"write_idle,omitempty" jsonschema:"description=How long a client may take nothing of an answer before its connection is closed (HTTP/1: on Linux).,default=2m"`
	HeaderTime         Duration     `yaml:"header_time,omitempty" json:"header_time,omitempty" jsonschema:"description=How long the header of a request may take before the connection is closed.,default=10s"`
	HeaderBytes        int          `yaml:"header_bytes,omitempty" json:"header_bytes,omitempty" jsonschema:"description=Largest header of a request in bytes: a larger one is 431.,minimum=8192,maximum=1048576,default=65536"`
	Idle               Duration     `yaml:"idle,omitempty" json:"idle,omitempty" jsonschema:"description=How long a connection may wait for its next request before it is closed.,default=2m"`
	Connections        int          `yaml:"connections,omitempty" json:"connections,omitempty" jsonschema:"description=Connections that are open at a time. For one more the longest idle is closed; when none is idle the answer is 503. No more than half of the files that the system lets the process open.,minimum=1,default=10000"`
	Logins             LoginsConfig `yaml:"logins,omitempty" json:"logins,omitzero" jsonschema:"description=Bounds on failed logins."`
	Rates              RatesConfig  `yaml:"rates,omitempty" json:"rates,omitzero" jsonschema:"description=Bounds on requests."`
	DrainTimeout       Duration     `yaml:"drain_timeout,omitempty" json:"drain_timeout,omitempty" jsonschema:"description=How long a stop waits for running requests.,default=20s"`
}

// complete fills in the defaults.
func (l *LimitsConfig) complete() {
	number(&l.BlobBytes, 1<<40)
	number(&l.Referrers, 1000)
	number(&l.ManifestCacheBytes, 32<<20)
	number(&l.ManifestBytes, 4<<20)
	number(&l.ManifestTags, 1000)
	number(&l.Page, 10_000)
	number(&l.Scopes, 100)
	number(&l.Uploads, 500)
	number(&l.UploadExpiry, Duration(24*time.Hour))
	number(&l.BodyIdle, Duration(2*time.Minute))
	number(&l.BodyTime, Duration(time.Minute))
	number(&l.WriteIdle, Duration(2*time.Minute))
	number(&l.HeaderTime, Duration(10*time.Second))
	number(&l.HeaderBytes, 64<<10)
	number(&l.Idle, Duration(2*time.Minute))
	number(&l.Connections, 10_000)
	number(&l.DrainTimeout, Duration(20*time.Second))
}

func number[N ~int | ~int64](n *N, def N) {
	if *n == 0 {
		*n = def
	}
}

// validate says what of it is out of bounds.
func (l *LimitsConfig) validate() []problem {
	var all []problem
	for _, n := range []struct {
		path           string
		v, least, most int64
	}{
		{"blob_bytes", l.BlobBytes, 1 << 20, 0},
		{"chunk_bytes", l.ChunkBytes, 0, 0},
		{"referrers", int64(l.Referrers), 1, 0},
		{"manifest_cache_bytes", l.ManifestCacheBytes, 1 << 20, 0},
		{"manifest_bytes", l.ManifestBytes, 64 << 10, 4 << 20},
		{"manifest_tags", int64(l.ManifestTags), 1, 0},
		{"page", int64(l.Page), 1, 0},
		{"scopes", int64(l.Scopes), 1, 100},
		{"uploads_per_principal", int64(l.Uploads), 1, 0},
		{"header_bytes", int64(l.HeaderBytes), 8 << 10, 1 << 20},
		{"connections", int64(l.Connections), 1, 0},
		{"logins.failures", int64(l.Logins.Failures), 0, 0},
		{"logins.name_failures", int64(l.Logins.NameFailures), 0, 0},
		{"logins.address_failures", int64(l.Logins.AddressFailures), 0, 0},
		{"rates.identity.per_second", int64(l.Rates.Identity.PerSecond), 0, 0},
		{"rates.project.per_second", int64(l.Rates.Project.PerSecond), 0, 0},
		{"rates.address.per_second", int64(l.Rates.Address.PerSecond), 0, 0},
	} {
		if n.v < n.least {
			all = append(all, problem{"limits." + n.path, fmt.Sprintf("%d is less than %d", n.v, n.least)})
		} else if n.most > 0 && n.v > n.most {
			all = append(all, problem{"limits." + n.path, fmt.Sprintf("%d is more than %d", n.v, n.most)})
		}
	}
	for _, d := range []struct {
		path string
		v    Duration
		most time.Duration
	}{
		{"upload_expiry", l.UploadExpiry, 90 * 24 * time.Hour},
		{"body_idle", l.BodyIdle, time.Hour},
		{"body_time", l.BodyTime, time.Hour},
		{"write_idle", l.WriteIdle, time.Hour},
		{"header_time", l.HeaderTime, 10 * time.Minute},
		{"idle", l.Idle, time.Hour},
		{"drain_timeout", l.DrainTimeout, 10 * time.Minute},
	} {
		if v := time.Duration(d.v); v < time.Second || v > d.most {
			all = append(all, problem{"limits." + d.path, fmt.Sprintf("%s is not between %s and %s", v, time.Second, d.most)})
		}
	}
	return all
}

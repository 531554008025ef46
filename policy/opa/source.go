// Package opa decides with the Open Policy Agent: it compiles one revision of
// policy into an immutable [Evaluator] and evaluates it as a pure function of
// the facts.
//
// It refuses to read a clock, a network or a disk: policy comes as bytes, the
// capabilities that the policy ships with are enforced when it is compiled, and
// whatever a rule answers that is not a well-formed decision is a denial. It does
// not know where policy comes from (package bundle) nor what a rule says.
//
// The bundle package and the composition root may import it; it imports package
// policy.
package opa

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/bondgate/bondgate/policy"
)

// File is one file of policy.
type File struct {
	// Path is slash-separated and relative to the root of the bundle.
	Path string
	Data []byte
	// Shipped marks files that came with the gateway. All others are an
	// author's: they may own packs of their own and nothing else.
	Shipped bool
}

// Source is one revision of policy, complete.
type Source struct {
	// Revision names the content; records and decisions carry it.
	Revision string
	Files    []File
	// Capabilities is OPA's list (JSON) of the builtins that rules may call.
	Capabilities []byte
	// Schemas are JSON Schemas of the input, by action. A rule that names one in
	// its METADATA (schema.input["<action>"]) is refused when it reads a field
	// that the schema does not have.
	Schemas map[string][]byte
	// Limits bound what is compiled; zero fields have defaults.
	Limits Limits
}

// Limits bound a source.
type Limits struct {
	// Bytes of all files together; 10 MiB.
	Bytes int64
	// Files in all; 2,000.
	Files int
	// CompileTime bounds compilation; 15 s.
	CompileTime time.Duration
}

// WithDefaults fills in what is zero.
func (l Limits) WithDefaults() Limits {
	if l.Bytes <= 0 {
		l.Bytes = 10 << 20
	}
	if l.Files <= 0 {
		l.Files = 2000
	}
	if l.CompileTime <= 0 {
		l.CompileTime = 15 * time.Second
	}
	return l
}

// errTooLarge is a source beyond its limits.
var errTooLarge = errors.New("policy is too large")

func (s Source) check() error {
	limits := s.Limits.WithDefaults()
	if s.Revision == "" {
		return fmt.Errorf("a source has no revision: %w", policy.ErrInvalid)
	}
	if len(s.Files) > limits.Files {
		return fmt.Errorf("%w: %d files, at most %d: %w", errTooLarge, len(s.Files), limits.Files, policy.ErrInvalid)
	}
	var size int64
	seen := make(map[string]bool, len(s.Files))
	for _, f := range s.Files {
		size += int64(len(f.Data))
		key := f.key()
		if seen[key] {
			return fmt.Errorf("policy file %s is there twice: %w", f.Path, policy.ErrInvalid)
		}
		seen[key] = true
	}
	if size > limits.Bytes {
		return fmt.Errorf("%w: %d bytes, at most %d: %w", errTooLarge, size, limits.Bytes, policy.ErrInvalid)
	}
	return nil
}

// key tells files apart and is what error messages call them.
func (f File) key() string {
	if f.Shipped {
		return "shipped:" + f.Path
	}
	return f.Path
}

func (f File) isModule() bool {
	return strings.HasSuffix(f.Path, ".rego") && !strings.HasSuffix(f.Path, "_test.rego")
}

// isData tells the files whose content becomes a part of data, at the path of
// their folder, as in OPA's bundles.
func (f File) isData() bool { return path.Base(f.Path) == "data.json" && !f.isWaivers() }

func (f File) isManifest() bool { return f.Path == ".manifest" }

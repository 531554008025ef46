package decisionlog

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/bondgate/bondgate/policy"
)

// Defaults of a [Config].
const (
	DefaultRetentionDays = 90
	DefaultCapacity      = 100_000
	DefaultFlushEvery    = 250 * time.Millisecond
	// FactSize is the size in bytes beyond which a part of an input is stored
	// once by its digest.
	FactSize = 4 << 10
)

// Config says where records are kept, for how long, and what they must not show.
type Config struct {
	// Dir is the folder of the day files, of the writer's name and of the mask
	// key. With a DSN it is needed only for those of the last two that are not given.
	Dir string
	// DSN is a PostgreSQL URL; empty keeps records in files in Dir.
	DSN string
	// Writer names this replica's hash chain; two running replicas never share
	// one. Empty takes the name in Dir/writer, which is made at first.
	Writer string
	// Masks are dotted paths of the input ("subject.claims.email") whose values
	// are replaced by a keyed hash. "*" stands for any key; lists are passed
	// through. Messages that a rule makes are kept as they are.
	Masks []string
	// Rules answers the rules in force about records, nil for none. It is asked for
	// each record, by the flusher only; nil asks nobody.
	Rules func() Rules
	// MaskKey is the key of the hash that stands for what is hidden (by Masks, by
	// Rules, or because it is a secret), 32 bytes at least and equal on all
	// replicas. Empty takes the key in Dir/mask.key, which is made at first.
	MaskKey []byte
	// RetentionDays is how many whole days before today are kept; 0 is
	// [DefaultRetentionDays] and -1 keeps everything.
	RetentionDays int
	// Capacity is how many records may wait in memory; 0 is [DefaultCapacity].
	Capacity int
	// FlushEvery is how long a record stays open, 500 ms at most; 0 is [DefaultFlushEvery].
	FlushEvery time.Duration
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Logger hears when records can not be kept and when they can again; nil is silence.
	Logger *slog.Logger
}

var writerName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// complete fills what was left out, checks all, and makes the files of the
// writer's name and of the mask key where they are needed.
func (c Config) complete() (Config, error) {
	if c.Dir == "" && c.DSN == "" {
		return c, fmt.Errorf("decision log: neither a folder nor a database: %w", policy.ErrInvalid)
	}
	if c.DSN != "" && !strings.HasPrefix(c.DSN, "postgres://") && !strings.HasPrefix(c.DSN, "postgresql://") {
		return c, fmt.Errorf("decision log: the database is no postgres:// URL: %w", policy.ErrInvalid)
	}
	c.RetentionDays = orDefault(c.RetentionDays, DefaultRetentionDays)
	c.Capacity = orDefault(c.Capacity, DefaultCapacity)
	c.FlushEvery = orDefault(c.FlushEvery, DefaultFlushEvery)
	switch {
	case c.RetentionDays < -1:
		return c, fmt.Errorf("decision log: retention of %d days: %w", c.RetentionDays, policy.ErrInvalid)
	case c.Capacity < 1:
		return c, fmt.Errorf("decision log: capacity of %d records: %w", c.Capacity, policy.ErrInvalid)
	case c.FlushEvery < time.Millisecond || c.FlushEvery > 500*time.Millisecond:
		return c, fmt.Errorf("decision log: flush every %s, want 1ms to 500ms: %w", c.FlushEvery, policy.ErrInvalid)
	case len(c.MaskKey) > 0 && len(c.MaskKey) < 32:
		return c, fmt.Errorf("decision log: a mask key of %d bytes, want 32: %w", len(c.MaskKey), policy.ErrInvalid)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c.identify()
}

func (c Config) identify() (Config, error) {
	// Secrets are hidden without any mask, so there is always a key.
	needKey := len(c.MaskKey) == 0
	if c.Dir == "" && (c.Writer == "" || needKey) {
		return c, fmt.Errorf("decision log: without a folder the writer and the mask key have to be given: %w", policy.ErrInvalid)
	}
	if c.Dir != "" {
		if err := os.MkdirAll(c.Dir, 0o700); err != nil {
			return c, fmt.Errorf("decision log: make the folder: %w", err)
		}
	}
	if c.Writer == "" {
		name, err := keep(filepath.Join(c.Dir, "writer"), 8)
		if err != nil {
			return c, fmt.Errorf("decision log: the writer's name: %w", err)
		}
		c.Writer = name
	}
	if !writerName.MatchString(c.Writer) {
		return c, fmt.Errorf("decision log: writer %q: %w", c.Writer, policy.ErrInvalid)
	}
	if needKey {
		text, err := keep(filepath.Join(c.Dir, "mask.key"), 32)
		if err != nil {
			return c, fmt.Errorf("decision log: the mask key: %w", err)
		}
		if c.MaskKey, err = hex.DecodeString(text); err != nil || len(c.MaskKey) < 32 {
			return c, fmt.Errorf("decision log: mask.key does not hold 32 bytes in hex: %w", policy.ErrInvalid)
		}
	}
	return c, nil
}

// keep reads a word from a file, or makes it of n random bytes when there is none.
func keep(path string, n int) (string, error) {
	text, err := os.ReadFile(path)
	if err == nil {
		return strings.TrimSpace(string(text)), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	word := make([]byte, n)
	rand.Read(word)
	made := hex.EncodeToString(word)
	// Written aside and linked, so that a crash leaves no half a key and two
	// processes that start at once agree on one.
	aside, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return "", err
	}
	defer os.Remove(aside.Name())
	_, err = aside.WriteString(made + "\n")
	if err = errors.Join(err, aside.Sync(), aside.Close()); err != nil {
		return "", err
	}
	if err := os.Link(aside.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	text, err = os.ReadFile(path)
	return strings.TrimSpace(string(text)), err
}

func orDefault[T int | time.Duration](v, d T) T {
	if v == 0 {
		return d
	}
	return v
}

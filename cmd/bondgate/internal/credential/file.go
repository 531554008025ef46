package credential

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ErrNone is that nobody is logged in at a registry.
var ErrNone = errors.New("nobody is logged in there")

// Entry is what is kept for one registry: a login at a provider, or the name and
// secret that `docker login` left.
type Entry struct {
	Username string `json:"username"`
	// Secret is a password; empty for a login at a provider.
	Secret string `json:"secret,omitempty"`
	Login  *Login `json:"login,omitempty"`
}

// Login is what a provider gave.
type Login struct {
	Provider string   `json:"provider"`
	Issuer   string   `json:"issuer"`
	ClientID string   `json:"client_id"`
	Scopes   []string `json:"scopes"`
	IDToken  string   `json:"id_token"`
	// Issued and Expires are the ID token's.
	Issued  time.Time `json:"issued"`
	Expires time.Time `json:"expires"`
	// RefreshToken is empty when the provider gave none: the login ends with the
	// ID token then.
	RefreshToken string `json:"refresh_token,omitempty"`
}

// File keeps the entries in a file that only its owner reads. Another process may
// use it at the same time.
type File struct{ dir string }

// OpenFile names the file in a folder, which is made when it is needed; the folder
// bondgate in the person's configuration when it is empty.
func OpenFile(dir string) (*File, error) {
	if dir == "" {
		base, err := os.UserConfigDir()
		if err != nil {
			return nil, fmt.Errorf("find the folder for credentials: %w", err)
		}
		dir = filepath.Join(base, "bondgate")
	}
	return &File{dir: dir}, nil
}

// Path is where the file is.
func (f *File) Path() string { return filepath.Join(f.dir, "credentials.json") }

// contents is the file.
type contents struct {
	Registries map[string]Entry `json:"registries"`
}

// Get answers the entry of a registry, or ErrNone. use may change it, and what it
// leaves is kept: nobody else reads or writes meanwhile, since a refresh token that
// is sent twice ends the login at many providers.
func (f *File) Get(registry string, use func(*Entry) error) (Entry, error) {
	var out Entry
	err := f.locked(func(c *contents) (bool, error) {
		e, ok := c.Registries[Registry(registry)]
		if !ok {
			return false, ErrNone
		}
		before, err := json.Marshal(e)
		if err != nil {
			return false, err
		}
		if use != nil {
			err = use(&e)
		}
		if out = e; err != nil {
			return false, err
		}
		after, err := json.Marshal(e)
		c.Registries[Registry(registry)] = e
		return string(before) != string(after), err
	})
	return out, err
}

// Put keeps an entry.
func (f *File) Put(registry string, e Entry) error {
	return f.locked(func(c *contents) (bool, error) {
		c.Registries[Registry(registry)] = e
		return true, nil
	})
}

// Delete forgets a registry; ErrNone when there is nothing to forget.
func (f *File) Delete(registry string) error {
	return f.locked(func(c *contents) (bool, error) {
		if _, ok := c.Registries[Registry(registry)]; !ok {
			return false, ErrNone
		}
		delete(c.Registries, Registry(registry))
		return true, nil
	})
}

// List answers the name at each registry.
func (f *File) List() (map[string]string, error) {
	names := map[string]string{}
	err := f.locked(func(c *contents) (bool, error) {
		for _, registry := range slices.Sorted(maps.Keys(c.Registries)) {
			names[registry] = c.Registries[registry].Username
		}
		return false, nil
	})
	return names, err
}

// locked runs do on what is kept, and keeps what it leaves if it says so.
func (f *File) locked(do func(*contents) (changed bool, err error)) error {
	if err := os.MkdirAll(f.dir, 0o700); err != nil {
		return fmt.Errorf("make the folder for credentials: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(f.dir, "credentials.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("lock the credentials: %w", err)
	}
	defer lock.Close() // which unlocks
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("lock the credentials: %w", err)
	}
	c, err := f.read()
	if err != nil {
		return err
	}
	changed, err := do(&c)
	if err != nil || !changed {
		return err
	}
	return f.write(c)
}

func (f *File) read() (contents, error) {
	c := contents{Registries: map[string]Entry{}}
	raw, err := os.ReadFile(f.Path())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return c, nil
	case err != nil:
		return c, fmt.Errorf("read the credentials: %w", err)
	}
	if err := json.Unmarshal(raw, &c); err != nil {
		return c, fmt.Errorf("%s is not as it was written; remove it and log in again", f.Path())
	}
	if c.Registries == nil {
		c.Registries = map[string]Entry{}
	}
	return c, nil
}

func (f *File) write(c contents) error {
	raw, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return fmt.Errorf("keep the credentials: %w", err)
	}
	if err := replace(f.Path(), append(raw, '\n'), 0o600); err != nil {
		return fmt.Errorf("keep the credentials: %w", err)
	}
	return nil
}

// replace writes a file in one step: nobody ever reads half of it.
func replace(name string, raw []byte, mode fs.FileMode) error {
	next, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(next.Name()) // gone already when all went well
	_, err = next.Write(raw)
	if err == nil {
		err = next.Chmod(mode)
	}
	if err == nil {
		err = next.Sync()
	}
	if closed := next.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	return os.Rename(next.Name(), name)
}

// Registry is what a registry is kept under: its host and port, without the scheme
// and the path that some clients put around them.
func Registry(address string) string {
	for _, scheme := range []string{"https://", "http://"} {
		address = strings.TrimPrefix(address, scheme)
	}
	host, _, _ := strings.Cut(address, "/")
	return strings.ToLower(host)
}

package registry

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/distribution/distribution/v3/registry/storage"
	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/distribution/distribution/v3/registry/storage/driver/azure"
	"github.com/distribution/distribution/v3/registry/storage/driver/gcs"
	"github.com/distribution/distribution/v3/registry/storage/driver/inmemory"
	s3 "github.com/distribution/distribution/v3/registry/storage/driver/s3-aws"

	"github.com/bondgate/bondgate/policy"
)

// Middleware wraps the storage driver that the engine works on. Tests use it to
// make storage fail at a chosen place.
type Middleware func(storagedriver.StorageDriver) storagedriver.StorageDriver

// Config says where content is kept.
type Config struct {
	// Driver is filesystem (also when empty), inmemory (for tests: nothing
	// survives, and a name like "docker/registry" confuses it), s3aws, azure
	// or gcs.
	Driver string
	// Parameters are those of distribution's driver of that name. The
	// filesystem driver knows "rootdirectory" (required) and "fsync" (false
	// when absent: what was acknowledged survives the death of the process;
	// true: also the loss of power, at the price of slower pushes).
	Parameters map[string]any
	// Middleware, when set, wraps the driver.
	Middleware Middleware
}

// staleTemporary is the age in which a temporary file is surely nobody's: one
// lives for as long as one small write.
const staleTemporary = time.Hour

// Engine is the store. It is safe for concurrent use by any number of
// goroutines; several processes may share one store, as long as one upload is
// fed by one process at a time.
type Engine struct {
	driver  storagedriver.StorageDriver
	local   *local // set on the filesystem driver
	uploads sessions
	buffers sync.Pool
}

// Open returns an engine over the configured driver. An unknown driver or a bad
// parameter is policy.ErrInvalid; a root that cannot be made or used is
// policy.ErrUnavailable.
func Open(ctx context.Context, cfg Config) (*Engine, error) {
	e := &Engine{
		uploads: sessions{open: map[string]*session{}},
		buffers: sync.Pool{New: func() any { b := make([]byte, copyBuffer); return &b }},
	}
	var err error
	switch cfg.Driver {
	case "", "filesystem":
		if e.local, err = newLocal(cfg.Parameters); err != nil {
			return nil, err
		}
		e.local.sweep(time.Now().Add(-staleTemporary))
		e.driver = e.local
	case "inmemory":
		e.driver = inmemory.New()
	case "s3aws", "s3":
		e.driver, err = asDriver(s3.FromParameters(ctx, cfg.Parameters))
	case "azure":
		e.driver, err = azureDriver(ctx, cfg.Parameters)
	case "gcs":
		e.driver, err = gcs.FromParameters(ctx, cfg.Parameters)
	default:
		return nil, fmt.Errorf("registry: %w: storage driver %q is none of filesystem, inmemory, s3aws, azure, gcs", policy.ErrInvalid, cfg.Driver)
	}
	if err != nil {
		return nil, fmt.Errorf("registry: %w: storage driver %s: %w", policy.ErrInvalid, cfg.Driver, err)
	}
	if cfg.Middleware != nil {
		e.driver = cfg.Middleware(e.driver)
	}
	return e, nil
}

// asDriver keeps a typed nil of a failed constructor out of the interface.
func asDriver[D storagedriver.StorageDriver](d D, err error) (storagedriver.StorageDriver, error) {
	if err != nil {
		return nil, err
	}
	return d, nil
}

func azureDriver(ctx context.Context, parameters map[string]any) (storagedriver.StorageDriver, error) {
	params, err := azure.NewParameters(parameters)
	if err != nil {
		return nil, err
	}
	return asDriver(azure.New(ctx, params))
}

// Check tells whether the store answers: one cheap look at its root.
func (e *Engine) Check(ctx context.Context) error {
	if e.local != nil {
		if _, err := e.driver.Stat(ctx, layoutRoot); err != nil {
			return fmt.Errorf("registry: check storage: %w: %w", policy.ErrUnavailable, err)
		}
		return nil
	}
	if _, err := e.driver.Stat(ctx, "/"); err != nil && !isNotFound(err) {
		return failure("check storage", err)
	}
	return nil
}

// space is what one workspace sees: a driver in which its own layout is the
// plain one.
type space struct{ storagedriver.StorageDriver }

func (e *Engine) space(workspace string) (space, error) {
	if workspace == policy.DefaultWorkspace {
		return space{e.driver}, nil
	}
	if !validWorkspace(workspace) {
		return space{}, fmt.Errorf("registry: %w: workspace name %q", policy.ErrInvalid, workspace)
	}
	return space{prefixed{inner: e.driver, prefix: workspacesRoot + "/" + workspace}}, nil
}

// workspaceOf is the repository's workspace under its one name.
func workspaceOf(repo policy.Repository) string {
	if repo.Workspace == "" {
		return policy.DefaultWorkspace
	}
	return repo.Workspace
}

// repository checks the name and finds its workspace's space.
func (e *Engine) repository(repo policy.Repository) (space, error) {
	if !validName(repo.Name) {
		return space{}, fmt.Errorf("registry: %w: repository name %q", policy.ErrInvalid, clip(repo.Name))
	}
	return e.space(workspaceOf(repo))
}

// content is repository and digest at once, for the calls that need both.
func (e *Engine) content(repo policy.Repository, d string) (space, error) {
	if !validDigest(d) {
		return space{}, fmt.Errorf("registry: %w: %q is not a sha256 digest", policy.ErrInvalid, clip(d))
	}
	return e.repository(repo)
}

// distributionOptions: deletes on, nothing cached, no redirect to the store.
var distributionOptions = []storage.RegistryOption{storage.EnableDelete}

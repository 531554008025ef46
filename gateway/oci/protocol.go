package oci

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/bondgate/bondgate/gateway/authn"
	"github.com/bondgate/bondgate/gateway/errcode"
	"github.com/bondgate/bondgate/gateway/oci/manifest"
	"github.com/bondgate/bondgate/gateway/ociroute"
	"github.com/bondgate/bondgate/policy"
)

// Limits bound what one request can ask for. A zero field is its default.
type Limits struct {
	// Blob is the largest blob in bytes; 1 TiB.
	Blob int64
	// Page is how many names a list without "n" gives; 1,000.
	Page int
	// MaxPage is the largest "n"; 10,000.
	MaxPage int
	// Referrers is how many manifests may refer to one subject; 1,000. Clients
	// read the first page of referrers only, so there is one page.
	Referrers int
	// Tags is how many tags one push may set; 100.
	Tags int
	// ManifestTags is how many tags one manifest may carry, and Parents how many
	// indexes may list it; 1,000. All of them are in every decision about it.
	ManifestTags, Parents int
	// Manifest is the largest manifest in bytes; 4 MiB, and never more.
	Manifest int64
	// Uploads is how many uploads a principal may have open, 500, and UploadExpiry
	// when storage removes one that got nothing more, 24 hours.
	Uploads      int
	UploadExpiry time.Duration
	// Idle is how long a client that pushes may send nothing; 2 minutes.
	Idle time.Duration
	// Bodies is how many bytes of manifests are kept in memory; 32 MiB.
	Bodies int64
	// Recent is how many pairs of principal and repository are remembered with
	// what they pulled last; 20,000.
	Recent int64
	// ChunkMin is the smallest chunk that clients are asked to send, in bytes; 0
	// asks for none.
	ChunkMin int64
}

func (l Limits) withDefaults() Limits {
	l.Blob = orDefault(l.Blob, 1<<40)
	l.MaxPage = orDefault(l.MaxPage, 10_000)
	l.Page = min(orDefault(l.Page, 1000), l.MaxPage)
	l.Referrers = orDefault(l.Referrers, 1000)
	l.Tags = orDefault(l.Tags, 100)
	l.ManifestTags = orDefault(l.ManifestTags, 1000)
	l.Parents = orDefault(l.Parents, 1000)
	l.Manifest = min(orDefault(l.Manifest, manifest.MaxSize), manifest.MaxSize)
	l.Uploads = orDefault(l.Uploads, 500)
	l.UploadExpiry = orDefault(l.UploadExpiry, 24*time.Hour)
	l.Idle = orDefault(l.Idle, 2*time.Minute)
	l.Bodies = orDefault(l.Bodies, 32<<20)
	l.Recent = orDefault(l.Recent, 20_000)
	return l
}

func orDefault[N int | int64 | time.Duration](n, def N) N {
	if n <= 0 {
		return def
	}
	return n
}

// Config is what a Protocol is made of. Gate, Engine, Index, Projects and Secret
// are required.
type Config struct {
	Gate     Gate
	Engine   Engine
	Index    Index
	Projects ProjectMaker
	// Secret signs who an upload belongs to; 32 bytes at least. It must outlive a
	// restart, or uploads do not.
	Secret []byte
	Limits Limits
	// HeadDenial is the status of a denied HEAD: 403 (the default), or 405 for
	// fleets whose containerd follows up only that with a GET.
	HeadDenial int
	// Sparse takes manifests that name layers or manifests that are not there
	// (yet): mirrors of some platforms of an index are pushed so. False refuses
	// them, as clients that push what they name first expect.
	Sparse bool
	// Log is told what cannot be told to a client any more; optional.
	Log *slog.Logger
	// Now is the clock; time.Now when nil.
	Now func() time.Time
}

// Protocol answers the requests of the distribution-spec. It is safe for use by
// many goroutines.
type Protocol struct {
	gate     Gate
	engine   Engine
	index    Index
	projects ProjectMaker
	limits   Limits
	sessions sessions
	uploads  *tally
	bodies   *bodies
	recent   *recent
	locks    *locks
	headDeny int
	sparse   bool
	log      *slog.Logger
	now      func() time.Time
}

// New makes a Protocol, or says what is wrong with the configuration.
func New(cfg Config) (*Protocol, error) {
	switch {
	case cfg.Gate == nil, cfg.Engine == nil, cfg.Index == nil, cfg.Projects == nil:
		return nil, fmt.Errorf("make the protocol: gate, engine, index and projects are required: %w", policy.ErrInvalid)
	case len(cfg.Secret) < 32:
		return nil, fmt.Errorf("make the protocol: the secret has %d bytes, 32 are needed: %w", len(cfg.Secret), policy.ErrInvalid)
	case cfg.HeadDenial != 0 && cfg.HeadDenial != http.StatusForbidden && cfg.HeadDenial != http.StatusMethodNotAllowed:
		return nil, fmt.Errorf("make the protocol: a denied HEAD is 403 or 405, not %d: %w", cfg.HeadDenial, policy.ErrInvalid)
	}
	limits := cfg.Limits.withDefaults()
	p := &Protocol{
		gate: cfg.Gate, engine: cfg.Engine, index: cfg.Index, projects: cfg.Projects, limits: limits,
		sessions: newSessions(cfg.Secret), bodies: newBodies(limits.Bodies), recent: newRecent(limits.Recent), locks: newLocks(),
		headDeny: cfg.HeadDenial, sparse: cfg.Sparse, log: cfg.Log, now: cfg.Now,
	}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	if p.now == nil {
		p.now = time.Now
	}
	p.uploads = newTally(limits.Uploads, limits.UploadExpiry, p.now)
	return p, nil
}

// The headers that every answer of the protocol has.
var apiVersion = []string{"registry/2.0"}

// Serve answers one request under /v2/. It returns an error when nothing was
// written yet: the edge turns it into an answer. w should be the server's own
// ResponseWriter, so that the kernel copies files to the client.
func (p *Protocol) Serve(w http.ResponseWriter, r *http.Request, caller authn.Caller) error {
	w.Header()["Docker-Distribution-Api-Version"] = apiVersion
	route, err := ociroute.Parse(r.Method, r.URL.EscapedPath(), r.URL.RawQuery)
	if err != nil {
		return badRoute(r.Method, err)
	}
	c := &call{w: w, r: r, caller: caller, route: route}
	c.repo = policy.Repository{Workspace: c.workspace(), Name: route.Name}
	handle := handler(route.Kind, r.Method)
	if handle == nil {
		return errcode.New(errcode.Unsupported, "the operation is not supported")
	}
	if err := handle(p, r.Context(), c); err != nil {
		if e := errcode.From(err); e.Status != http.StatusRequestTimeout {
			readOut(w, r)
		}
		return err
	}
	return nil
}

type handlerFunc func(p *Protocol, ctx context.Context, c *call) error

// handler finds who serves a row of the route table; nil for a row that nobody
// serves, which a test refuses.
func handler(kind ociroute.Kind, method string) handlerFunc {
	switch kind {
	case ociroute.Ping:
		return (*Protocol).ping
	case ociroute.Catalog:
		return (*Protocol).listCatalog
	case ociroute.Tags:
		return (*Protocol).listTags
	case ociroute.Referrers:
		return (*Protocol).listReferrers
	case ociroute.Uploads:
		return (*Protocol).startUpload
	case ociroute.Mounts:
		return (*Protocol).mountBlob
	case ociroute.ManifestByTag, ociroute.ManifestByDigest:
		switch method {
		case http.MethodGet, http.MethodHead:
			return (*Protocol).getManifest
		case http.MethodPut:
			return (*Protocol).putManifest
		case http.MethodDelete:
			if kind == ociroute.ManifestByTag {
				return (*Protocol).deleteTag
			}
			return (*Protocol).deleteManifest
		}
	case ociroute.Blob:
		switch method {
		case http.MethodGet, http.MethodHead:
			return (*Protocol).getBlob
		case http.MethodDelete:
			return (*Protocol).deleteBlob
		}
	case ociroute.Upload:
		switch method {
		case http.MethodGet, http.MethodHead:
			return (*Protocol).uploadStatus
		case http.MethodPatch:
			return (*Protocol).patchUpload
		case http.MethodPut:
			return (*Protocol).finishUpload
		case http.MethodDelete:
			return (*Protocol).cancelUpload
		}
	}
	return nil
}

func (p *Protocol) ping(ctx context.Context, c *call) error {
	if err := p.decide(ctx, c, c.request(policy.RegistryPing), nil); err != nil {
		return err
	}
	c.writeJSON(http.StatusOK, "application/json", []byte("{}"))
	return nil
}

// badRoute words a refusal of the route's grammar. A reference that cannot exist
// is not found for who reads, and invalid for who writes.
func badRoute(method string, err error) error {
	var e *ociroute.Error
	if !errors.As(err, &e) {
		return errcode.New(errcode.NotFound, "there is nothing at this path").Because(err)
	}
	reading := method == http.MethodGet || method == http.MethodHead || method == http.MethodDelete
	switch e.Reason {
	case ociroute.NameInvalid:
		return errcode.New(errcode.NameInvalid, e.Error())
	case ociroute.DigestInvalid:
		return errcode.New(errcode.DigestInvalid, e.Error())
	case ociroute.TagInvalid:
		if reading {
			return errcode.New(errcode.ManifestUnknown, e.Error())
		}
		return errcode.New(errcode.TagInvalid, e.Error())
	case ociroute.UploadInvalid:
		return errcode.New(errcode.BlobUploadUnknown, e.Error())
	case ociroute.MethodInvalid:
		return errcode.New(errcode.Unsupported, e.Error()).With("Allow", e.Allow)
	case ociroute.QueryInvalid:
		return errcode.New(errcode.BadRequest, e.Error())
	default:
		return errcode.New(errcode.NotFound, e.Error())
	}
}

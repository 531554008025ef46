package ldap

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// maxAnswer is how many bytes a server may send for one operation. A thousand
// entries of a few attributes are some hundred kilobytes.
const maxAnswer = 8 << 20

// holder is as whom a connection is bound.
type holder int

const (
	nobody  holder = iota // not bound yet, or in a state that is not known
	service               // as the account that searches, or as anonymous if that is configured
	person                // as somebody who logged in
)

// conn is a connection to one server. One goroutine uses it at a time.
type conn struct {
	ldap   *ldap.Conn
	wire   *meter
	server int
	holder holder
	born   time.Time
	// reused says that it was used before: what fails on it may only mean that the
	// server closed it meanwhile.
	reused bool
	// spent says that more of an answer may be on its way.
	spent bool
}

// connect makes a connection that is safe to send a password on, or none.
func (c *Config) connect(ctx context.Context, s server, number int) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, c.ConnectTimeout)
	defer cancel()
	raw, err := c.Dial(ctx, "tcp", s.address)
	if err != nil {
		return nil, err
	}
	wire := &meter{Conn: raw}
	wire.left.Store(maxAnswer)
	// go-ldap's StartTLS and crypto/tls read without a context.
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	defer stop()
	name := c.ServerName
	if name == "" {
		name = s.host
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: c.RootCAs, ServerName: name}
	var secured net.Conn = wire
	if s.tls {
		over := tls.Client(wire, config)
		if err := over.HandshakeContext(ctx); err != nil {
			raw.Close()
			return nil, fmt.Errorf("TLS: %w", err)
		}
		secured = over
	}
	made := &conn{ldap: ldap.NewConn(secured, s.tls), wire: wire, server: number, born: c.Now()}
	made.ldap.SetTimeout(c.Timeout)
	made.ldap.Start()
	if !s.tls && c.StartTLS {
		if err := made.ldap.StartTLS(config); err != nil {
			made.close()
			return nil, fmt.Errorf("StartTLS: %w", err)
		}
		if _, ok := made.ldap.TLSConnectionState(); !ok {
			made.close()
			return nil, errors.New("StartTLS left the connection open to all")
		}
	}
	if !stop() {
		made.close()
		return nil, context.Cause(ctx)
	}
	return made, nil
}

// meter bounds what one operation may read, so that a server cannot fill the
// memory.
type meter struct {
	net.Conn
	left atomic.Int64
}

func (m *meter) Read(p []byte) (int, error) {
	if m.left.Load() <= 0 {
		return 0, errors.New("the answer is too long")
	}
	n, err := m.Conn.Read(p)
	m.left.Add(-int64(n))
	return n, err
}

// bind binds as dn. password is never empty: that would be an anonymous bind that
// looks like a success.
func (c *conn) bind(ctx context.Context, dn, password string, as holder) error {
	if password == "" {
		return ldap.NewError(ldap.ErrorEmptyPassword, errors.New("an empty password"))
	}
	c.holder = nobody
	err := c.during(ctx, func() error {
		_, err := c.ldap.SimpleBind(&ldap.SimpleBindRequest{Username: dn, Password: password})
		return err
	})
	if err == nil {
		c.holder = as
	}
	return err
}

// become binds as the account that searches, if the connection is not.
func (c *conn) become(ctx context.Context, cfg *Config) error {
	switch {
	case c.holder == service:
		return nil
	case cfg.BindDN != "":
		if err := c.bind(ctx, cfg.BindDN, cfg.BindPassword, service); err != nil {
			return fmt.Errorf("binding as the account that searches: %w", err)
		}
		return nil
	case cfg.AnonymousSearch:
		c.holder = nobody
		if err := c.during(ctx, func() error { return c.ldap.UnauthenticatedBind("") }); err != nil {
			return fmt.Errorf("binding as nobody: %w", err)
		}
		c.holder = service
		return nil
	}
	return errNoService
}

// errNoService: there is no account that could search.
var errNoService = errors.New("no account to search with is configured")

var (
	// errAnswer: the directory answered, with something that cannot be used. No
	// other server would say it better.
	errAnswer = errors.New("the answer cannot be used")
	// errTooMany: what was read is not all of it.
	errTooMany = fmt.Errorf("%w: it has more than is allowed", errAnswer)
)

// search answers the entries that it finds, all of them or an error. References
// to other servers are not followed.
func (c *conn) search(ctx context.Context, timeout time.Duration, base string, scope int, filter string, limit int, attributes []string) ([]*ldap.Entry, error) {
	req := ldap.NewSearchRequest(base, scope, ldap.NeverDerefAliases, limit+1, max(1, int(timeout/time.Second)), false, filter, attributes, nil)
	req.EnforceSizeLimit = true
	var res *ldap.SearchResult
	err := c.during(ctx, func() (err error) {
		res, err = c.ldap.Search(req)
		return err
	})
	switch {
	case errors.Is(err, ldap.ErrSizeLimitExceeded), ldap.IsErrorWithCode(err, ldap.LDAPResultSizeLimitExceeded):
		c.spent = true
		return nil, errTooMany
	case err != nil:
		return nil, err
	case len(res.Entries) > limit:
		return nil, errTooMany
	}
	return res.Entries, nil
}

// during runs one operation, which ends when ctx does. An answer that makes the
// library panic is an error: a directory cannot take the gateway down.
func (c *conn) during(ctx context.Context, operation func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("reading the answer: panic: %v", r)
		}
	}()
	if err := ctx.Err(); err != nil {
		return ldap.NewError(ldap.ErrorNetwork, err)
	}
	c.wire.left.Store(maxAnswer)
	stop := context.AfterFunc(ctx, func() { c.wire.Close() })
	defer stop()
	return operation()
}

// close frees the connection at once; go-ldap's goroutines end a moment later.
func (c *conn) close() {
	c.wire.Close()
	go func() { _ = c.ldap.Close() }()
}

// broken reports whether err is of the connection or of a server that cannot
// answer, rather than an answer.
func broken(err error) bool {
	if err == nil {
		return false
	}
	var answer *ldap.Error
	if !errors.As(err, &answer) {
		return !errors.Is(err, errAnswer) && !errors.Is(err, errNoService)
	}
	switch answer.ResultCode {
	case ldap.ErrorNetwork, ldap.ErrorUnexpectedMessage, ldap.ErrorUnexpectedResponse,
		ldap.LDAPResultBusy, ldap.LDAPResultUnavailable:
		return true
	}
	return false
}

package oci

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"strconv"

	"github.com/bondgate/bondgate/gateway/errcode"
	"github.com/bondgate/bondgate/gateway/ociroute"
)

// sessions binds an upload to who began it and where. The proof travels in the
// upload's address, so that it holds after a restart and in every replica with
// no table; how much has arrived is the engine's to say.
type sessions struct{ key []byte }

func newSessions(secret []byte) sessions {
	// A key of its own: the secret may sign other things too.
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte("bondgate upload session v1"))
	return sessions{key: mac.Sum(nil)}
}

// state proves that the upload is the caller's, in the call's repository.
func (s sessions) state(c *call, id string) string {
	mac := hmac.New(sha256.New, s.key)
	for _, part := range []string{c.repo.Workspace, c.repo.Name, c.caller.Principal.Issuer, c.caller.Principal.ID, id} {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(part)))
		mac.Write(n[:])
		mac.Write([]byte(part))
	}
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// owns fails as if there were no such upload, unless it is the caller's.
func (s sessions) owns(c *call) error {
	if !hmac.Equal([]byte(c.route.Value("_state")), []byte(s.state(c, c.route.Upload))) {
		return uploadUnknown()
	}
	return nil
}

func uploadUnknown() *errcode.Error {
	return errcode.New(errcode.BlobUploadUnknown, "the upload is not known")
}

// announce puts into the answer where the upload goes on and how far it is.
func (p *Protocol) announce(c *call, h http.Header, id string, size int64) {
	h.Set("Location", ociroute.UploadPath(c.repo.Name, id, p.sessions.state(c, id)))
	h.Set("Range", "0-"+strconv.FormatInt(max(size-1, 0), 10))
	h.Set("Docker-Upload-Uuid", id)
}

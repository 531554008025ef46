package kill_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// uploading is one blob on its way. After a crash it goes on where it stood.
type uploading struct {
	w       *worker
	repo    string
	blob    *content
	chunked bool

	// at is the upload's own address once it has one, and stored how many bytes of
	// it were acknowledged.
	at     *url.URL
	stored int
	// ending says that the last request was sent: the upload may have become the blob.
	ending bool
}

func (u *uploading) send(again bool) error {
	if again && u.at != nil {
		over, err := u.resume()
		if over || err != nil {
			return err
		}
	}
	if u.at == nil {
		if err := u.start(); err != nil {
			return err
		}
	}
	if half := u.stored + (len(u.blob.body)-u.stored)/2; u.chunked && half > u.stored {
		if err := u.append(half); err != nil {
			return err
		}
	}
	return u.finish()
}

func (u *uploading) start() error {
	a, err := u.w.send(http.MethodPost, "/v2/"+u.repo+"/blobs/uploads/", "", nil, http.StatusAccepted)
	if err != nil {
		return err
	}
	u.stored, u.ending = 0, false
	return u.follow(a)
}

func (u *uploading) follow(a *answer) (err error) {
	u.at, err = a.at.Parse(a.header.Get("Location"))
	return err
}

// resume asks how far the upload is. What was acknowledged of it must be there;
// an upload that is gone has become the blob, or was given up by a server without
// room, or lost with the database that knew whose it was: then it begins anew.
func (u *uploading) resume() (over bool, err error) {
	a, err := u.w.send(http.MethodGet, u.at.RequestURI(), "", nil, http.StatusNoContent, http.StatusNotFound)
	if err != nil {
		return false, err
	}
	if a.status == http.StatusNotFound {
		_, over, err := u.w.get(blobPath(u.repo, u.blob.digest))
		if !over && err == nil && u.stored > 0 && !u.ending && !u.w.lenient {
			err = errors.New("an upload with acknowledged bytes is gone")
		}
		u.at = nil
		return over, err
	}
	has := 0
	if _, last, ok := strings.Cut(a.header.Get("Range"), "-"); ok {
		if n, err := strconv.Atoi(last); err == nil && n > 0 {
			has = n + 1
		}
	}
	if has < u.stored {
		return false, fmt.Errorf("an upload holds %d bytes, %d were acknowledged", has, u.stored)
	}
	u.stored = has
	u.w.continued++
	return false, u.follow(a)
}

func (u *uploading) append(to int) error {
	a, err := u.w.send(http.MethodPatch, u.at.RequestURI(), "application/octet-stream", u.blob.body[u.stored:to], http.StatusAccepted)
	if err != nil {
		return err
	}
	u.stored = to
	return u.follow(a)
}

func (u *uploading) finish() error {
	q := u.at.Query()
	q.Set("digest", u.blob.digest)
	at := *u.at
	at.RawQuery = q.Encode()
	u.ending = true
	_, err := u.w.send(http.MethodPut, at.RequestURI(), "application/octet-stream", u.blob.body[u.stored:], http.StatusCreated)
	return err
}

package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// socketName is the management API's socket in the data folder.
const socketName = "bondgate.sock"

// maxSocketPath is below what the kernel takes as a socket's path (108 bytes).
const maxSocketPath = 100

// socketAddress is the path of the data folder's socket for bind and connect. A
// path that is too long for the kernel is named by way of an open folder, which
// release closes.
func socketAddress(dataDir string) (address string, release func(), err error) {
	path := filepath.Join(dataDir, socketName)
	if len(path) <= maxSocketPath {
		return path, func() {}, nil
	}
	fd, err := unix.Open(dataDir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", nil, fmt.Errorf("open the data folder: %w", &os.PathError{Op: "open", Path: dataDir, Err: err})
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", fd, socketName), func() { _ = unix.Close(fd) }, nil
}

// listenSocket makes the socket that only this account may open. It is for the
// holder of the folder's lock alone: a socket that is there already is a
// leftover of a server that was killed.
func listenSocket(dataDir string) (net.Listener, error) {
	path := filepath.Join(dataDir, socketName)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("remove the socket of an earlier run: %w", err)
	}
	address, release, err := socketAddress(dataDir)
	if err != nil {
		return nil, err
	}
	defer release()
	// Bound with no permission for others from the first moment on: the folder
	// may be one that others can enter.
	old := unix.Umask(0o177)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: address, Net: "unix"})
	unix.Umask(old)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	l.SetUnlinkOnClose(false) // the address may be gone by then; the path is removed by name
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("close the socket to others: %w", err), l.Close())
	}
	return &socketListener{Listener: l, path: path}, nil
}

type socketListener struct {
	net.Listener
	path string
}

// Close stops listening and removes the socket.
func (l *socketListener) Close() error {
	err := l.Listener.Close()
	if rmErr := os.Remove(l.path); rmErr != nil && !errors.Is(rmErr, os.ErrNotExist) {
		err = errors.Join(err, rmErr)
	}
	return err
}

// lockDataDir makes this process the only server on the folder, until release.
// The kernel gives the lock back when the process ends, however it ends.
func lockDataDir(dataDir string) (release func(), err error) {
	f, err := os.OpenFile(filepath.Join(dataDir, "bondgate.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock of the data folder: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("another server is running on the data folder %s", dataDir)
		}
		return nil, fmt.Errorf("lock the data folder: %w", err)
	}
	return func() { _ = f.Close() }, nil
}

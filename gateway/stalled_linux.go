package gateway

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// setStalled has the kernel close a connection whose other end takes nothing of
// what is sent for so long. A write deadline could not tell who stalls from who
// is slow while a large file is copied, and costs something for each request.
func setStalled(conn *net.TCPConn, stalled time.Duration) {
	raw, err := conn.SyscallConn()
	if err != nil || stalled <= 0 {
		return
	}
	// An older kernel that refuses leaves things as they would be without.
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(stalled.Milliseconds()))
	})
}

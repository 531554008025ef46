//go:build !linux

package gateway

import (
	"net"
	"time"
)

// setStalled does nothing: only Linux watches over it.
func setStalled(*net.TCPConn, time.Duration) {}

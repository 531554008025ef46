// Package gateway is the edge: the one place where an HTTP request comes in and
// an answer goes out. It gives each request an id, finds out who is asking, hands
// the registry's paths to the protocol and the others to theirs, and writes every
// error, log line and metric.
//
// It refuses to decide anything: what it needs to know about rights it asks the
// gate. No header of a client is identity, an address, a scheme or a request id,
// except for what a configured proxy says. gin serves everything but /v2/, whose
// bodies go to the connection by sendfile.
//
// cmd/bondgate imports it and nobody else.
package gateway

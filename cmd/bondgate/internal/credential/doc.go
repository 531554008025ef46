// Package credential is a person's end of a login: the device flow at the person's
// own provider, the credentials that it leaves on this machine, and docker's
// protocol for helpers, by which docker, podman, skopeo and crane get them.
//
// What a registry client is handed is an ID token that is minutes old; it is
// renewed behind the person's back. It refuses to send a token anywhere but to the
// provider and to the registry that it is for, to follow redirects with one, and to
// write a file that others can read. It verifies nothing: the gateway does.
//
// cmd/bondgate imports it and nobody else.
package credential

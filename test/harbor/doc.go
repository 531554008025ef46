// Package harbor_test holds the part of Harbor's API that the gateway has to what
// clients of Harbor expect, on the real server: each reading comes after the
// writing that changes it, and is compared field by field.
package harbor_test

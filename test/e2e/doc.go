// Package e2e shows that the built gateway does for real clients what the README
// says: docker, podman, skopeo, buildah, ctr, crane and regctl push and pull, read
// why they were denied, and lose a right at the next request.
//
// It drives everything from outside through test/harness and knows no package of
// ours. Nothing imports it.
package e2e

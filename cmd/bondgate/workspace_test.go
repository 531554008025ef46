package main

import (
	"strings"
	"testing"
)

func TestAWorkspaceThatIsNotThereTakesNothing(t *testing.T) {
	s := start(t, t.TempDir())
	if _, err := s.cli("", "project", "create", "red", "--workspace", "acme"); err == nil || !strings.Contains(err.Error(), "no workspace") {
		t.Fatal(err)
	}
	if _, err := s.cli("Workspace-admin-1\n", "workspace", "create", "acme", "--host", "acme.example", "--password-stdin"); err != nil {
		t.Fatal(err)
	}
	s.must("project", "create", "red", "--workspace", "acme")
	if out := s.must("project", "list"); strings.Contains(out, "red") {
		t.Fatalf("the default workspace has it too: %s", out)
	}
	if out := s.must("project", "list", "--workspace", "acme"); !strings.Contains(out, "red") {
		t.Fatalf("the workspace has it not: %s", out)
	}
	if _, err := s.cli("", "workspace", "list", "--workspace", "acme"); err == nil {
		t.Fatal("a workspace sees the others")
	}
	if _, err := s.cli("Another-admin-1\n", "workspace", "create", "other", "--workspace", "acme", "--password-stdin"); err == nil {
		t.Fatal("a workspace makes workspaces")
	}
}

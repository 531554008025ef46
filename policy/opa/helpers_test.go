package opa_test

import (
	"testing"

	"github.com/bondgate/bondgate/policy/bundle"
	"github.com/bondgate/bondgate/policy/opa"
)

// sourceWith is the shipped bundle with an author's files.
func sourceWith(t testing.TB, own ...opa.File) opa.Source {
	t.Helper()
	src, err := bundle.Load("", opa.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	src.Files = append(src.Files, own...)
	return src
}

func compileWith(t testing.TB, own ...opa.File) *opa.Evaluator {
	t.Helper()
	ev, err := opa.Compile(t.Context(), sourceWith(t, own...))
	if err != nil {
		t.Fatal(err)
	}
	return ev
}

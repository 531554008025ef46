package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"

	"github.com/bondgate/bondgate/policy/decisionlog"
)

func TestPlainJSONMeansTheSameAndSteersNothing(t *testing.T) {
	for _, c := range []struct{ what, text, want string }{
		{"letters of any script stay", "a\u00e9\u4e2d\U0001f600", "a\u00e9\u4e2d\U0001f600"},
		{"controls in 8 bits", "\x7f\u0085\u009b", `\u007f\u0085\u009b`},
		{"marks of direction and width", "\u061c\u200b\u202e\u2066\ufeff", `\u061c\u200b\u202e\u2066\ufeff`},
		{"ends of lines", "\u2028\u2029", `\u2028\u2029`},
		{"tags", "\U000e0041", `\udb40\udc41`},
	} {
		t.Run(c.what, func(t *testing.T) {
			raw, err := json.MarshalIndent(map[string]string{"k": c.text}, "", "\t")
			if err != nil {
				t.Fatal(err)
			}
			plain := plainJSON(raw)
			if want := "{\n\t\"k\": \"" + c.want + "\"\n}"; string(plain) != want {
				t.Errorf("got %q, want %q", plain, want)
			}
			var back map[string]string
			if err := json.Unmarshal(plain, &back); err != nil || back["k"] != c.text {
				t.Errorf("it reads %q, %v", back["k"], err)
			}
		})
	}
	t.Run("bytes that are no text", func(t *testing.T) {
		if got := string(plainJSON([]byte("\"\xff\xc2\""))); got != `"\ufffd\ufffd"` {
			t.Errorf("got %q", got)
		}
	})
}

func TestEachFormatOfTheLogIsPlain(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		var b bytes.Buffer
		newLogger(&b, LogConfig{Format: format}).Info("said", slog.String("by", "a\u009b31m\u202eb\r\nc\x1b[2J"))
		if got := strings.TrimSuffix(b.String(), "\n"); got == "" || clean(got) != got {
			t.Errorf("%s: %q", format, got)
		}
	}
}

func TestTheLogHasNoSecret(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		var out bytes.Buffer
		log := newLogger(&out, LogConfig{Format: format})
		u, err := url.Parse("https://bob:s3cret@host/x")
		if err != nil {
			t.Fatal(err)
		}
		log.With("agent", "password=one").Info("got token=two", "error", fmt.Errorf("ask: %w", errors.New("secret=three")), "url", u, "path", "/v2/eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln")
		got := out.String()
		for _, secret := range []string{"one", "two", "three", "s3cret", "eyJ"} {
			if strings.Contains(got, secret) {
				t.Errorf("%s: %s is in %s", format, secret, got)
			}
		}
		if n := strings.Count(got, "[secret]"); n != 5 {
			t.Errorf("%s: %d secrets are hidden in %s", format, n, got)
		}
	}
}

func TestADecisionOnStandardOutputIsOneLine(t *testing.T) {
	said := "x\r\nforged\x1b[2J\u0085\u2028\u202e\x7f"
	event, err := json.Marshal(map[string]string{"user_agent": said, said: "k"})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := decisionlog.NewLines(plainWriter{&out}).Send(t.Context(), []json.RawMessage{event, event}); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsFunc(strings.ReplaceAll(out.String(), "\n", ""), unseen) || strings.Count(out.String(), "\n") != 2 {
		t.Errorf("written as %q", out.String())
	}
	for line := range strings.Lines(out.String()) {
		var back map[string]string
		if err := json.Unmarshal([]byte(line), &back); err != nil || back["user_agent"] != said || back[said] != "k" {
			t.Errorf("%q is read as %q, %v", line, back, err)
		}
	}
}

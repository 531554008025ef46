package main

import (
	"fmt"
	"io"
	"log/slog"

	"github.com/bondgate/bondgate/policy/decisionlog"
)

// newLogger is the server's own log, as it is configured.
func newLogger(w io.Writer, c LogConfig) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		level = slog.LevelInfo
	}
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: withoutSecrets}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(plainWriter{w}, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// withoutSecrets keeps out of the log what is kept out of the record of decisions:
// a token in a path, a password in an error's text.
func withoutSecrets(_ []string, a slog.Attr) slog.Attr {
	v := a.Value.Resolve()
	switch v.Kind() {
	case slog.KindString:
		a.Value = slog.StringValue(decisionlog.WithoutSecrets(v.String()))
	case slog.KindAny:
		switch x := v.Any().(type) {
		case error:
			a.Value = slog.StringValue(decisionlog.WithoutSecrets(x.Error()))
		case fmt.Stringer:
			a.Value = slog.StringValue(decisionlog.WithoutSecrets(x.String()))
		}
	}
	return a
}

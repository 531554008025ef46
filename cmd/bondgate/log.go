package main

import (
	"io"
	"log/slog"
)

// newLogger is the server's own log, as it is configured.
func newLogger(w io.Writer, c LogConfig) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		level = slog.LevelInfo
	}
	options := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(plainWriter{w}, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// SPDX-License-Identifier: AGPL-3.0-or-later

// Package logs makes the program's logger.
//
// A log is copied into tickets, mails and other people's systems, so it must
// not hold what lets somebody in. Secrets have a type of their own that masks
// itself; beyond that, attributes whose names or values look like a secret are
// masked here, whoever logs them. And a fault that is met a thousand times a
// minute is said a few times, with a count.
package logs

import (
	"io"
	"log/slog"

	"github.com/allmende-energy/allmende/internal/settings"
)

// Config is what is written, and how.
type Config struct {
	Level  slog.Level
	Format Format
}

// Format is how a line of the log is written.
type Format string

// The formats.
const (
	Text Format = "text" // key=value
	JSON Format = "json" // an object on each line
)

// Keys are the settings of a log, the same for a coordinator and for a gateway.
func Keys(c *Config) []settings.Key {
	var word string
	level := settings.Choice(&word, "debug", "info", "warn", "error")
	return []settings.Key{
		{
			Name: "log.level", Default: "info", Example: "debug",
			Value: level.Then(func() error { return c.Level.UnmarshalText([]byte(word)) }),
			Help:  "The least important messages that are written. debug tells of each request and each message refused, and is meant for the search of a fault.",
		},
		{
			Name: "log.format", Value: settings.Choice(&c.Format, Text, JSON), Default: string(Text), Example: string(JSON),
			Help: "How messages are written. text is for people, json for programs that collect logs: one object on each line.",
		},
	}
}

// New returns a logger that writes to w.
func New(w io.Writer, c Config) *slog.Logger {
	o := &slog.HandlerOptions{Level: c.Level, ReplaceAttr: mask}
	var h slog.Handler = slog.NewTextHandler(w, o)
	if c.Format == JSON {
		h = slog.NewJSONHandler(w, o)
	}
	return slog.New(newSparing(h))
}

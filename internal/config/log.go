// SPDX-License-Identifier: AGPL-3.0-or-later

package config

import (
	"log/slog"

	"github.com/allmende-energy/allmende/internal/settings"
)

// Log is what the program writes about itself.
type Log struct {
	Level  slog.Level
	Format LogFormat
}

// LogFormat is how a line of the log is written.
type LogFormat string

// The formats.
const (
	LogText LogFormat = "text" // key=value
	LogJSON LogFormat = "json" // an object on each line
)

func logPart(s *Serve) settings.Part {
	return settings.Part{
		Title: "Logs",
		Intro: "What the program writes about itself, on standard error. It never holds a password, a token, a key, or a member's readings.",
		Keys:  LogKeys(&s.Log),
	}
}

// LogKeys are the same for a coordinator and for a gateway.
func LogKeys(l *Log) []settings.Key {
	var word string
	level := settings.Choice(&word, "debug", "info", "warn", "error")
	return []settings.Key{
		{
			Name: "log.level", Default: "info", Example: "debug",
			Value: level.Then(func() error { return l.Level.UnmarshalText([]byte(word)) }),
			Help:  "The least important messages that are written. debug tells of each request and each message refused, and is meant for the search of a fault.",
		},
		{
			Name: "log.format", Value: settings.Choice(&l.Format, LogText, LogJSON), Default: string(LogText), Example: string(LogJSON),
			Help: "text for people, json for programs that collect logs: one object on each line.",
		},
	}
}

// SPDX-License-Identifier: AGPL-3.0-or-later

// Package logs makes the program's logger as the configuration says.
package logs

import (
	"io"
	"log/slog"

	"github.com/allmende-energy/allmende/internal/config"
)

// New returns a logger that writes to w.
func New(w io.Writer, cfg config.Log) *slog.Logger {
	o := &slog.HandlerOptions{Level: cfg.Level}
	if cfg.Format == config.LogJSON {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

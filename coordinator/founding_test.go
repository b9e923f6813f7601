// SPDX-License-Identifier: AGPL-3.0-or-later

package coordinator

import (
	"log/slog"
	"strings"
	"sync"
	"testing"
)

// lines is a log to look into.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) said() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Who founds a community by a charter that will tell about two of its members is
// told so, once.
func TestFoundingRemarksOnTheCharter(t *testing.T) {
	dir, w := folder(t, needsOf()), newWorld(t, dawn)
	template(t, dir, "needs-first")
	for _, founding := range []bool{true, false} {
		cfg, err := Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		var log lines
		c, err := Start(t.Context(), cfg, w.clock, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		told := strings.Contains(log.said(), "tells about single members") && strings.Contains(log.said(), "is for two members")
		if told != founding {
			t.Errorf("founding %v: %s", founding, log.said())
		}
		wait(t, "the charter is in the ledger", func() bool {
			_, ok, err := c.store.ActiveCharter(t.Context())
			return ok && err == nil
		})
		if err := c.Stop(); err != nil {
			t.Fatal(err)
		}
	}
}

// SPDX-License-Identifier: AGPL-3.0-or-later

package api

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/allmende-energy/allmende/coordinator/access"
)

// Times of an event stream, on the wall clock.
const (
	heartbeat   = 15 * time.Second // a comment, so that proxies and readers know that somebody is there
	writeWithin = 10 * time.Second // a reader that takes longer to read one event has gone
)

// events serves the live pictures as server-sent events: the id is the
// picture's sequence, and a reader that comes back with Last-Event-ID gets what
// it missed, as far as there is.
func (h HTTP) events(w http.ResponseWriter, r *http.Request) {
	after, _ := strconv.ParseUint(r.Header.Get("Last-Event-ID"), 10, 64) // none or nonsense: begin with the newest
	sub, err := h.Hub.Subscribe(after)
	if err != nil {
		w.Header().Set("Retry-After", "10")
		code := http.StatusServiceUnavailable
		if errors.Is(err, ErrCrowded) {
			code = http.StatusTooManyRequests
		}
		writeJSON(w, code, map[string]string{"message": err.Error()})
		return
	}
	defer sub.Close()
	header := w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("X-Accel-Buffering", "no") // a proxy in front passes events on at once
	e := eventWriter{w, http.NewResponseController(w)}
	who := access.From(r.Context()) // when her rights change, the context ends
	// The wait before a reader comes back, and something to read at once.
	if e.write("retry: 2000\n\n") != nil {
		return
	}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		select {
		case f, open := <-sub.C:
			if !open {
				return
			}
			b, err := h.Community.JSON(who, f)
			if err != nil || e.write("id: %d\ndata: %s\n\n", f.Live.GetSequence(), b) != nil {
				return
			}
		case <-beat.C:
			if e.write(": still here\n\n") != nil {
				return
			}
		case <-r.Context().Done():
			return
		}
	}
}

type eventWriter struct {
	w  http.ResponseWriter
	to *http.ResponseController
}

func (e eventWriter) write(format string, args ...any) error {
	if err := e.to.SetWriteDeadline(time.Now().Add(writeWithin)); err != nil {
		return fmt.Errorf("event stream: %w", err)
	}
	if _, err := fmt.Fprintf(e.w, format, args...); err != nil {
		return fmt.Errorf("event stream: %w", err)
	}
	if err := e.to.Flush(); err != nil {
		return fmt.Errorf("event stream: %w", err)
	}
	return nil
}

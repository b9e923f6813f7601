// SPDX-License-Identifier: AGPL-3.0-or-later

package coordinator

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/internal/pgtest"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

// A coordinator on a PostgreSQL server that goes away and comes back: nothing is
// acknowledged meanwhile, the page stays and says so, and it goes on by itself.
func TestTheServerGoesAway(t *testing.T) {
	server := &pgtest.Server{}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	database := server.Database(t)
	dir, w := folder(t, twoHomes), newWorld(t, dawn)
	path := filepath.Join(dir, "allmende.yaml")
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, fmt.Appendf(old, "database: %q\n", database), 0o600); err != nil {
		t.Fatal(err)
	}
	c := start(t, dir, w)
	identity := enrol(t, c, "gw-a")
	a, _ := connect(t, c, identity, "s1")
	a.meter(1, reading("anna-meter", "import", dawn, 5)) // acknowledged
	server.Kill(t)
	a.send(&allmendev1.Uplink{Message: &allmendev1.Uplink_Meter{Meter: &allmendev1.MeterBatch{
		SpoolId: "s1", FirstSequence: 2, Samples: []*allmendev1.MeterSample{reading("anna-meter", "import", dawn.Add(energy.Minute), 6)},
	}}})
	var state struct {
		Status   string
		Problems []string
	}
	for deadline := time.Now().Add(5 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if get(t, c, "/healthz", &state); state.Status == "degraded" && strings.Contains(state.Problems[0], "does not answer") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the server is away: %+v", state)
		}
	}
	var l live
	get(t, c, "/v1/live", &l)
	server.Restart(t)
	if err := a.ended(); err == nil || !strings.Contains(err.Error(), "connect anew") {
		t.Errorf("the stream ended with %v", err)
	}
	a, welcome := connect(t, c, identity, "s1")
	there := welcome.GetAcknowledgedSequence()
	if there != 1 && there != 2 { // the second was tried again until it was stored, or comes again
		t.Errorf("acknowledged up to %d", there)
	}
	a.meter(there+1, reading("anna-meter", "import", dawn.Add(energy.Span(there)*energy.Minute), 5+int64(there)))
	if get(t, c, "/healthz", &state); state.Status != "ok" {
		t.Errorf("%+v", state)
	}
}

// held is a store that does not come back before it is let go.
type held struct {
	mu    sync.Mutex
	saved []energy.Instant
	let   chan struct{}
}

func (h *held) SaveWorldTime(_ context.Context, at energy.Instant) error {
	h.mu.Lock()
	h.saved = append(h.saved, at)
	h.mu.Unlock()
	<-h.let
	return nil
}

// In the real world a tick does not wait until world time is stored.
func TestNoTickWaitsForTheDatabase(t *testing.T) {
	h := &held{let: make(chan struct{})}
	var wg sync.WaitGroup
	w := &worldSaver{store: h, every: time.Nanosecond, beside: wg.Go, problems: newProblems(slog.New(slog.DiscardHandler))}
	for i := range energy.Instant(5) {
		w.save(t.Context(), dawn+i) // they would hang here
	}
	close(h.let)
	wg.Wait()
	w.save(t.Context(), dawn+9)
	wg.Wait()
	if len(h.saved) != 2 || h.saved[0] != dawn || h.saved[1] != dawn+9 {
		t.Errorf("%v", h.saved)
	}
}

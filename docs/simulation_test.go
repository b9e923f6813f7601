// SPDX-License-Identifier: AGPL-3.0-or-later

package docs

import (
	"context"
	"os"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/modbus"
	"github.com/allmende-energy/allmende/gateway/profile"
	"github.com/allmende-energy/allmende/gateway/sim"
	"github.com/allmende-energy/allmende/gateway/sim/wire"
	"github.com/allmende-energy/allmende/internal/worldtime"
)

// examples are the YAML blocks of docs/simulation.md that begin so.
func examples(t *testing.T, beginning string) []string {
	t.Helper()
	page, err := os.ReadFile("simulation.md")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, part := range strings.Split(string(page), "```yaml\n")[1:] {
		if block, _, ok := strings.Cut(part, "```"); ok && strings.HasPrefix(block, beginning) {
			found = append(found, block)
		}
	}
	if len(found) < 3 {
		t.Fatalf("simulation.md has %d examples that begin with %s", len(found), beginning)
	}
	return found
}

// hand is world time that the test moves.
type hand struct{ now atomic.Int64 }

func (h *hand) Now() energy.Instant             { return energy.Instant(h.now.Load()) }
func (*hand) Speed() float64                    { return 1 }
func (*hand) Join(string) worldtime.Participant { return nil }

func summerNoon() *hand {
	h := &hand{}
	h.now.Store(time.Date(2026, 6, 21, 11, 0, 0, 0, time.UTC).UnixMilli())
	return h
}

func bus(t *testing.T, url string, timeout time.Duration) *modbus.Bus {
	t.Helper()
	b := modbus.NewBus(modbus.Config{URL: url, Timeout: timeout, Quiet: time.Millisecond})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return b
}

// Every site of the page is served, and each of its devices is found and read.
func TestSimulatedSitesOfThePage(t *testing.T) {
	lib, err := profile.LoadLibrary("")
	if err != nil {
		t.Fatal(err)
	}
	for _, src := range examples(t, "site:") {
		site, err := sim.DecodeSite("simulation.md", []byte(src))
		if err != nil {
			t.Fatal(err)
		}
		w, err := sim.New(site, summerNoon(), sim.Options{Profiles: lib})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { w.Close() })
		buses := map[string]*modbus.Bus{}
		for _, d := range w.Devices() {
			if buses[d.URL] == nil {
				buses[d.URL] = bus(t, d.URL, 5*time.Second)
			}
			name := d.Profile
			if name == "" {
				name = profile.SunSpec
			}
			dev, err := profile.Open(t.Context(), buses[d.URL], d.Unit, profile.Options{Profile: name, Kind: profile.Kind(d.Kind), Library: lib})
			if err != nil {
				t.Errorf("site %s, asset %s: %v", site.ID, d.Asset, err)
				continue
			}
			if _, err := dev.Read(t.Context()); err != nil {
				t.Errorf("site %s, asset %s: %v", site.ID, d.Asset, err)
			}
		}
	}
}

// Every rule of the page acts on some request to the site of `--example`.
func TestFaultsOfThePage(t *testing.T) {
	for _, src := range examples(t, "faults:") {
		rules, err := wire.DecodeRules("simulation.md", []byte(src))
		if err != nil {
			t.Fatal(err)
		}
		for i, rule := range rules {
			if !acts(t, rule) {
				t.Errorf("rule %d does nothing:\n%s", i, src)
			}
		}
	}
}

// acts reads and writes until a request meets the rule.
func acts(t *testing.T, rule wire.Rule) bool {
	t.Helper()
	site, err := sim.DecodeSite("example", []byte(sim.Example))
	if err != nil {
		t.Fatal(err)
	}
	site.Listeners[0].Address = "127.0.0.1:0"
	site.Listeners[0].Faults = []wire.Rule{rule}
	clock := summerNoon()
	var mu sync.Mutex
	met := false
	w, err := sim.New(site, clock, sim.Options{Observe: func(x wire.Exchange) {
		mu.Lock()
		defer mu.Unlock()
		met = met || !reflect.DeepEqual(x.Effect, wire.Effect{})
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	b := bus(t, w.Devices()[0].URL, 20*time.Millisecond)
	for n := range uint16(60) {
		clock.now.Add(int64(10 * energy.Second))
		for _, count := range []uint16{2, 100} {
			_, _ = b.ReadHolding(t.Context(), uint8(n%3+1), 40000+n, count) //nolint:errcheck // what comes of it is the rule's affair
		}
		_ = b.WriteRegisters(t.Context(), 3, 40294, []uint16{60})
		mu.Lock()
		done := met
		mu.Unlock()
		if done {
			return true
		}
	}
	return false
}

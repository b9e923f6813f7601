// SPDX-License-Identifier: AGPL-3.0-or-later

package sim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
)

// state is what outlives a restart: counters and stocks in microjoules. A
// battery comes back at rest, as after a power failure.
type state struct {
	Version   int                          `json:"version"`
	Site      string                       `json:"site"`
	At        energy.Instant               `json:"at"`
	Start     energy.Instant               `json:"start"`
	Houses    map[string]counters          `json:"houses"`
	Batteries map[roll.AssetID]storage     `json:"batteries"`
	Bindings  map[roll.AssetID][2]int64    `json:"binding_meters"`  // import, export
	Loads     map[roll.AssetID]microjoules `json:"loads,omitempty"` // consumed
}

const (
	stateVersion = 1
	mostState    = 16 << 20
	// mostGap is how long an absence is lived through after a restart. After a
	// longer one the houses stood empty.
	mostGap = 31 * energy.Day
)

// loadState reads a state file; nil if there is none yet.
func loadState(path, site string) (*state, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("state of site %s: %w", site, err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	dec := json.NewDecoder(io.LimitReader(f, mostState))
	dec.DisallowUnknownFields()
	var s state
	if err := dec.Decode(&s); err != nil {
		return nil, fmt.Errorf("state of site %s: %s: %w; delete the file to begin with new meters", site, path, err)
	}
	if s.Version != stateVersion || s.Site != site {
		return nil, fmt.Errorf("state of site %s: %s is of site %q, version %d: name another file", site, path, s.Site, s.Version)
	}
	return &s, nil
}

// SavedAt is the world time at which a state file was saved; false if there is
// no such file. A world that goes on with it must not begin before.
func SavedAt(path, site string) (energy.Instant, bool, error) {
	s, err := loadState(path, site)
	if err != nil || s == nil {
		return 0, false, err
	}
	return s.At, true, nil
}

// restore takes up a state. What is new in the site begins anew, what is no
// longer there is forgotten.
func (w *World) restore(s *state) error {
	if s.At > w.at.Add(energy.Minute) {
		return fmt.Errorf("state of site %s: it was saved at %s, but now is %s: world time does not move back; name another file", w.site.ID, s.At, w.at)
	}
	for id, c := range s.Houses {
		if h := w.byID[id]; h != nil {
			h.count = c
		}
	}
	for _, u := range w.units {
		if saved, ok := s.Batteries[u.spec.Asset]; ok && u.battery != nil {
			saved.Stock = min(saved.Stock, u.battery.level(u.battery.spec.MaxSoC))
			u.battery.store = saved
		}
		if saved, ok := s.Bindings[u.spec.Asset]; ok && u.binding != nil {
			u.binding.count.Import, u.binding.count.Export = microjoules(saved[0]), microjoules(saved[1])
		}
		if saved, ok := s.Loads[u.spec.Asset]; ok && u.load != nil {
			u.load.taken = saved
		}
	}
	w.at = max(s.At, w.at.Add(-mostGap))
	return nil
}

// save writes the state, whole or not at all.
func (w *World) save() error {
	if w.opts.State == "" {
		return nil
	}
	w.mu.Lock()
	s := state{
		Version: stateVersion, Site: w.site.ID, At: w.at, Start: w.start,
		Loads: map[roll.AssetID]microjoules{}, Houses: map[string]counters{}, Batteries: map[roll.AssetID]storage{}, Bindings: map[roll.AssetID][2]int64{},
	}
	for _, h := range w.houses {
		s.Houses[h.id] = h.count
	}
	for _, u := range w.units {
		switch {
		case u.battery != nil:
			s.Batteries[u.spec.Asset] = u.battery.store
		case u.binding != nil:
			s.Bindings[u.spec.Asset] = [2]int64{int64(u.binding.count.Import), int64(u.binding.count.Export)}
		case u.load != nil:
			s.Loads[u.spec.Asset] = u.load.taken
		}
	}
	w.mu.Unlock()
	b, err := json.MarshalIndent(s, "", " ")
	if err == nil {
		err = replace(w.opts.State, append(bytes.TrimSpace(b), '\n'))
	}
	if err != nil {
		return fmt.Errorf("state of site %s: %w; make room or name another file", w.site.ID, err)
	}
	return nil
}

// replace puts b in the place of path, so that a crash leaves the old or the new.
func replace(path string, b []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	return err
}

// SPDX-License-Identifier: AGPL-3.0-or-later

package sim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/profile"
	"github.com/allmende-energy/allmende/gateway/sim/wire"
	"github.com/allmende-energy/allmende/internal/worldtime"
)

// Options of a world. The zero value is fine.
type Options struct {
	// State is a file in which counters and stocks are kept, so that registers
	// go on after a restart; empty: they begin anew.
	State string
	Log   *slog.Logger // nil: discard
	// Observe is told of each request that any device gets; nil: nobody is.
	Observe func(wire.Exchange)
	// Profiles of devices that have one; nil: the embedded ones.
	Profiles *profile.Library
}

// World is a site that lives. It listens from [New] on and lives on in
// [World.Run]; a read brings it up to the present by itself.
type World struct {
	site  *Site
	clock worldtime.Clock
	opts  Options
	log   *slog.Logger

	part    worldtime.Participant // in clock; nil until Join
	servers []*wire.Server
	ports   []*port // by listener

	mu       sync.Mutex
	at       energy.Instant // everything below is true at this instant
	start    energy.Instant // the full hour in which the site was first started
	begun    energy.Instant // when this world was made; quirks count from it
	houses   []*house
	units    []*unit
	byID     map[string]*house
	bindings map[roll.AssetID]*binding
}

// Served is one device and where it answers.
type Served struct {
	Address string // bound host:port, or the device of a serial line
	URL     string // how a client names it: tcp://…, rtuovertcp://… or rtu:///dev/…
	Unit    uint8
	Asset   roll.AssetID
	Kind    roll.AssetKind
	House   string
	Profile string // of its registers; empty: SunSpec
}

// New makes the world of a site, at the present of clock or as the state file
// has it, and starts listening. Whoever does not call [World.Run] afterwards
// calls [World.Close].
func New(site *Site, clock worldtime.Clock, opts Options) (*World, error) {
	own := *site
	if own.Step == 0 {
		own.Step = defaultStep
	}
	if err := own.Validate(); err != nil {
		return nil, fmt.Errorf("site %s: %w", own.ID, err)
	}
	w := &World{
		site: &own, clock: clock, opts: opts, log: opts.Log,
		byID: map[string]*house{}, bindings: map[roll.AssetID]*binding{},
	}
	if w.log == nil {
		w.log = slog.New(slog.DiscardHandler)
	}
	w.at = w.now()
	w.begun = w.at
	w.start = energy.IntervalAt(w.at, energy.Hour).Start
	saved, err := loadState(opts.State, own.ID)
	if err != nil {
		return nil, err
	}
	if saved != nil {
		w.start = saved.Start
	}
	if err := w.build(); err != nil {
		return nil, err
	}
	if saved != nil {
		if err := w.restore(saved); err != nil {
			return nil, err
		}
	}
	w.decide()
	w.advance(w.now())
	if err := w.listen(); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

// build makes houses, batteries and binding meters.
func (w *World) build() error {
	for i := range w.site.Houses {
		spec := &w.site.Houses[i]
		h := &house{id: spec.ID}
		if spec.Profile != nil {
			src, err := openRecording(*spec.Profile, w.start)
			if err != nil {
				return fmt.Errorf("house %s: %w", spec.ID, err)
			}
			h.source = src
		} else {
			h.source = newSynthetic(w.site, spec)
		}
		w.houses = append(w.houses, h)
		w.byID[spec.ID] = h
	}
	for _, l := range w.site.Listeners {
		p := &port{world: w, units: map[uint8]*unit{}, profiled: map[uint8]*profiled{}}
		if err := w.buildProfiled(p, l); err != nil {
			return err
		}
		for _, d := range l.Devices {
			if d.Profile != "" {
				continue
			}
			u, err := w.newUnit(d)
			if err != nil {
				return fmt.Errorf("asset %s: %w", d.Asset, err)
			}
			p.units[d.Unit] = u
		}
		w.ports = append(w.ports, p)
	}
	return nil
}

// buildProfiled makes the units that have their makers' registers.
func (w *World) buildProfiled(p *port, l Listener) error {
	for _, d := range l.Devices {
		if d.Profile == "" || p.profiled[d.Unit] != nil {
			continue
		}
		if w.opts.Profiles == nil {
			lib, err := profile.LoadLibrary("")
			if err != nil {
				return err
			}
			w.opts.Profiles = lib
		}
		family, err := w.opts.Profiles.Get(d.Profile)
		if err != nil {
			return fmt.Errorf("asset %s: %w", d.Asset, err)
		}
		var together []Device
		for _, other := range l.Devices {
			if other.Unit == d.Unit {
				together = append(together, other)
			}
			if other.Unit == d.Unit && !slices.Contains(family.Kinds, profile.Kind(other.Kind)) {
				return fmt.Errorf("asset %s: profile %s describes %v, and no %s: correct the kind or the profile", other.Asset, d.Profile, family.Kinds, other.Kind)
			}
		}
		if p.profiled[d.Unit], err = w.newProfiled(family, together); err != nil {
			return fmt.Errorf("asset %s, profile %s: %w", d.Asset, d.Profile, err)
		}
	}
	return nil
}

func (w *World) listen() error {
	begun := w.clock.Now()
	for i, l := range w.site.Listeners {
		s, err := wire.Listen(l.Address, w.ports[i], wire.Options{
			Faults: l.rules(), Seed: mix(w.site.Seed, uint64(i)), Clients: l.Clients, Kick: l.Kick, Observe: w.opts.Observe,
			Since: func() energy.Span { return w.clock.Now().Sub(begun) },
		})
		if err != nil {
			return fmt.Errorf("site %s: %w", w.site.ID, err)
		}
		w.servers = append(w.servers, s)
	}
	return nil
}

// Addrs are the bound addresses, host:port, in the order of the site's listeners.
func (w *World) Addrs() []string {
	addrs := make([]string, len(w.servers))
	for i, s := range w.servers {
		addrs[i] = s.Addr()
	}
	return addrs
}

// Devices are all devices and where they answer, in the site's order.
func (w *World) Devices() []Served {
	var all []Served
	for i, l := range w.site.Listeners {
		for _, d := range l.Devices {
			all = append(all, Served{w.servers[i].Addr(), w.servers[i].URL(), d.Unit, d.Asset, d.Kind, d.House, d.Profile})
		}
	}
	return all
}

// Close stops listening. Run does it at its end.
func (w *World) Close() error {
	var errs []error
	for _, s := range w.servers {
		errs = append(errs, s.Close())
	}
	w.servers = nil
	return errors.Join(errs...)
}

// lead is how much ahead of a full step the world lives. Participants of a
// stepped world that wait for the same instant wake in any order, and a clock
// kept by another process tells each of its readers by itself. Being one
// millisecond early makes sure that whoever reads at a full step finds it lived.
const lead = energy.Millisecond

// saveEvery is how often the state is written, in wall time: what a killed
// process loses. Houses live through it again after the restart; what a battery
// did in it is forgotten, so that its counters may step back.
const saveEvery = time.Second

// now is the present, or the full step that is less than lead ahead.
func (w *World) now() energy.Instant {
	n := w.clock.Now()
	if ahead := n.Add(lead); int64(ahead)%int64(w.site.Step) == 0 {
		return ahead
	}
	return n
}

// saveOrWait saves the state and, where it can't, says so once and tries again
// until it can or ctx ends; what ctx leaves unsaved, Run's end saves or reports.
func (w *World) saveOrWait(ctx context.Context) {
	const retry = time.Second
	for said := false; ; said = true {
		err := w.save()
		if err == nil {
			return
		}
		if !said {
			w.log.Warn("the site's state can't be saved; waiting until it can", "site", w.site.ID, "error", err)
		}
		timer := time.NewTimer(retry)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// Join makes the stepped world wait for this one. Who lets others read the
// devices calls it before Run is a goroutine that may not have begun; Run does it
// where nobody did.
func (w *World) Join() {
	if w.part == nil {
		w.part = w.clock.Join("sim " + w.site.ID)
	}
}

// Run lives until ctx ends, then saves, closes the listeners and returns nil,
// or why the state could not be saved, at first or at last. Where the disk is full
// in between, a stepped world stands until there is space again, so that no
// counter is lost.
func (w *World) Run(ctx context.Context) error {
	w.Join()
	defer w.part.Leave()
	var saved time.Time
	for {
		w.mu.Lock()
		next := w.nextStep(w.at).Add(-lead)
		w.mu.Unlock()
		_, err := w.part.WaitUntil(ctx, next)
		if ctx.Err() != nil {
			return errors.Join(w.Close(), w.save())
		}
		if err != nil {
			return errors.Join(fmt.Errorf("site %s: %w", w.site.ID, err), w.Close(), w.save())
		}
		w.mu.Lock()
		w.advance(w.now())
		w.mu.Unlock()
		if time.Since(saved) > saveEvery {
			if saved.IsZero() { // a file that can't be written at all is a mistake, not a full disk
				if err := w.save(); err != nil {
					return errors.Join(err, w.Close())
				}
			}
			w.saveOrWait(ctx)
			saved = time.Now()
		}
	}
}

// nextStep is the first full step after t.
func (w *World) nextStep(t energy.Instant) energy.Instant {
	step := int64(w.site.Step)
	return energy.Instant((int64(t)/step + 1) * step)
}

// advance lives through all decisions up to now. The caller holds mu.
func (w *World) advance(now energy.Instant) {
	for {
		end := w.nextStep(w.at)
		for _, h := range w.houses {
			for _, b := range h.batteries {
				end = min(end, b.steer.until())
			}
			if h.inverter != nil {
				end = min(end, h.inverter.steer.until())
			}
			for _, l := range h.loads {
				end = min(end, l.steer.until())
			}
		}
		if end > now {
			return
		}
		w.live(end)
		w.decide()
	}
}

// live brings all counters to t. The caller holds mu.
func (w *World) live(t energy.Instant) {
	d := t.Sub(w.at)
	if d <= 0 {
		return
	}
	for _, m := range w.bindings {
		m.count.Import, m.count.Export = m.after(d)
	}
	for _, h := range w.houses {
		h.count = h.after(d)
		for _, b := range h.batteries {
			b.store = b.after(d)
		}
		for _, l := range h.loads {
			l.taken += during(l.power, d)
		}
	}
	w.at = t
}

// decide sets all powers for the time up to the next step. The caller holds mu.
func (w *World) decide() {
	for _, u := range w.units {
		u.happen()
	}
	step := w.nextStep(w.at)
	from := step.Add(-w.site.Step)
	for _, h := range w.houses {
		h.load, h.pv = h.source.powers(from)
		if h.inverter != nil {
			h.pv = h.inverter.decide(h.pv, w.at)
		}
		for _, l := range h.loads {
			l.decide(w.at)
			h.load += l.power
		}
		for _, b := range h.batteries {
			b.steer.revert(w.at)
			b.decide(w.at, step.Sub(w.at))
		}
	}
}

// Totals are a house's energies since its beginning, at the present.
type Totals struct {
	Consumption, Production, Import, Export energy.Energy
	Charged, Discharged, Stock              energy.Energy // of all its batteries
}

// Totals tells what a house's meters should have counted, each cut to
// milliwatt-hours; false if there is no such house.
func (w *World) Totals(id string) (Totals, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	h, ok := w.byID[id]
	if !ok {
		return Totals{}, false
	}
	now := w.now()
	w.advance(now)
	d := max(now.Sub(w.at), 0)
	c := h.after(d)
	t := Totals{
		Consumption: c.Consumption.energy(), Production: c.Production.energy(),
		Import: c.Import.energy(), Export: c.Export.energy(),
	}
	var charged, discharged, stock microjoules
	for _, b := range h.batteries {
		s := b.after(d)
		charged, discharged, stock = charged+s.Charged, discharged+s.Discharged, stock+s.Stock
	}
	t.Charged, t.Discharged, t.Stock = charged.energy(), discharged.energy(), stock.energy()
	return t, true
}

// SPDX-License-Identifier: AGPL-3.0-or-later

package guard

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/device"
)

// TestCommunicationLoss plays seeded schedules of everything that may fail
// between a coordinator and a battery: messages late, lost, twice or out of
// order; a coordinator that was taken over and does not know it; a gateway that
// dies at any moment and comes back with another clock; writes that are lost,
// that are carried out and not acknowledged, or that are carried out by half.
// All the time it watches the battery itself. ALLMENDE_SCHEDULES sets how many.
func TestCommunicationLoss(t *testing.T) {
	schedules := 4_000
	if s := os.Getenv("ALLMENDE_SCHEDULES"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			t.Fatalf("ALLMENDE_SCHEDULES=%q: write a number of schedules", s)
		}
		schedules = n
	}
	begun := time.Now()
	var next, failed atomic.Int64
	var mu sync.Mutex
	var sum tally
	var all sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			var own tally
			for failed.Load() < 5 {
				seed := next.Add(1)
				if seed > int64(schedules) {
					break
				}
				s := newSchedule(uint64(seed))
				if err := s.run(); err != nil {
					failed.Add(1)
					t.Errorf("seed %d: %v", seed, err)
				}
				own.add(s.tally)
			}
			mu.Lock()
			sum.add(own)
			mu.Unlock()
		})
	}
	all.Wait()
	t.Logf("%d schedules in %s: %+v", schedules, time.Since(begun).Round(time.Millisecond), sum)
	// A schedule in which nothing happens proves nothing.
	if failed.Load() == 0 && (sum.Accepted == 0 || sum.Refused == 0 || sum.Written == 0 || sum.Failed == 0 || sum.Deaths == 0 ||
		sum.Reverted == 0 || sum.Released == 0 || sum.InForce == 0 || sum.AtGuard == 0 || sum.OtherClock == 0 || sum.Withheld == 0) {
		t.Error("something never happened")
	}
}

// tally is what happened.
type tally struct {
	Accepted, Refused, Written, Failed, Deaths, Reverted, Released, InForce, AtGuard, OtherClock, Withheld int
}

func (t *tally) add(u tally) {
	t.Accepted += u.Accepted
	t.Refused += u.Refused
	t.Written += u.Written
	t.Failed += u.Failed
	t.Deaths += u.Deaths
	t.Reverted += u.Reverted
	t.Released += u.Released
	t.InForce += u.InForce
	t.AtGuard += u.AtGuard
	t.OtherClock += u.OtherClock
	t.Withheld += u.Withheld
}

// simBattery is a battery with a reversion timer. Left to itself it rests.
type simBattery struct {
	kind     device.Reversion
	watchdog int64 // ms
	held     bool
	power    energy.Power
	reverts  int64   // ms of the world
	stock    float64 // J
	capacity float64 // J

	// What the oracle knows about the value in force.
	ends    int64 // the true end of the newest setpoint that it may come from
	armed   int64 // when its timer was armed last
	trouble bool  // the latest write failed, or the gateway that made it is dead
	stretch int64 // a write that was carried out by half started the timer anew, for so long
}

const efficiency = 0.9

// until lets time pass.
func (b *simBattery) until(from, to int64, tally *tally) {
	if b.held && b.kind != device.NeverReverts && b.reverts < to {
		b.flow(max(b.reverts-from, 0))
		b.held, b.power = false, 0
		tally.Reverted++
		return
	}
	b.flow(to - from)
}

func (b *simBattery) flow(ms int64) {
	if !b.held {
		return
	}
	joules := float64(b.power) / 1000 * float64(ms) / 1000
	if joules > 0 {
		joules /= efficiency
	} else {
		joules *= efficiency
	}
	b.stock -= joules
}

func (b *simBattery) soc() float64 { return b.stock / b.capacity * 1000 }

// sent is a message on its way down, and what is true about it.
type sent struct {
	sp      Setpoint
	arrives int64
	life    int   // of the gateway whose stamp it echoes
	ends    int64 // in the world's time
}

// truth is the oracle's own account of what may be in force.
type truth struct {
	epoch, sequence uint64
	live            *sent
	charge          *sent // the charter's limits
	discharge       *sent
}

type schedule struct {
	rng     *rand.Rand
	now     int64 // ms of the world
	poll    int64
	limits  Limits
	waived  bool
	dev     simBattery
	guard   *Guard
	alive   bool
	life    int
	born    Stamp // of this life, on its own clock
	bornAt  int64
	backAt  int64
	bad     float64 // how often a write fails
	wire    []sent
	stamp   Stamp // the newest that the coordinator had
	stamped int64 // when that was, in the world's time
	ofLife  int
	epoch   uint64
	seq     uint64
	truth   truth
	tried   bool // this gateway has written something
	grid    GridLimit
	full    bool // the disk that writes are counted on
	worn    bool // the day's budget of writes is spent, all but a few
	socAt   int64
	socSeen int64
	tally   tally
}

func newSchedule(seed uint64) *schedule {
	rng := rand.New(rand.NewPCG(seed, 0x5eed))
	s := &schedule{rng: rng, now: 1_000_000, epoch: 1, poll: []int64{1000, 1000, 5000}[rng.IntN(3)], grid: FreeGrid()}
	kw := energy.Power(1+rng.IntN(5)) * energy.Kilowatt
	s.limits = DeviceLimits()
	s.limits.MaxCharge, s.limits.MaxDischarge = kw, kw+500*energy.Watt
	s.limits.MinSoC, s.limits.MaxSoC = 100, 900
	s.limits.Capacity = energy.Energy(1+rng.IntN(10)) * energy.KilowattHour
	if rng.IntN(3) == 0 {
		s.limits.Ramp = 200 * energy.Watt
	}
	s.dev.capacity = float64(s.limits.Capacity) / 1000 * 3600
	level := []float64{101, 103, 110, 500, 890, 897, 899}[rng.IntN(7)]
	s.dev.stock = s.dev.capacity * level / 1000
	s.dev.kind = device.RevertsByTimer
	switch rng.IntN(8) {
	case 0:
		s.dev.kind, s.dev.watchdog = device.RevertsByWatchdog, 60_000
		s.limits.Capacity = 0 // the device's own time may be too long to look ahead
		s.dev.stock = s.dev.capacity / 2
	case 1:
		s.dev.kind, s.waived = device.NeverReverts, true
		s.dev.stock = s.dev.capacity / 2
	}
	s.bad = []float64{0, 0.05, 0.3, 0.8}[rng.IntN(4)]
	s.worn = rng.IntN(4) == 0
	s.birth()
	return s
}

// birth starts a gateway with a clock of its own.
func (s *schedule) birth() {
	s.alive, s.life = true, s.life+1
	s.born, s.bornAt = Stamp(s.rng.Int64N(100_000)), s.now
	control := device.Control{Quantity: device.BatteryPower, Reversion: s.dev.kind}
	if s.dev.kind == device.RevertsByWatchdog {
		control.LeastReversion = time.Duration(s.dev.watchdog) * time.Millisecond
		control.MostReversion = control.LeastReversion
	}
	if s.worn {
		control.Flash = 20_000 // a write in 4 s
	}
	controls := []device.Control{control, control, control}
	controls[1].Quantity, controls[2].Quantity = device.ChargeLimit, device.DischargeLimit
	s.guard = New(Config{Controls: controls, Limits: s.limits, Poll: energy.Span(s.poll), Waived: s.waived, Born: s.born})
	if s.worn {
		s.guard.Restore(map[device.Quantity]Budget{device.BatteryPower: {Spent: 15_995, At: energy.Instant(s.now)}})
	}
	s.truth, s.tried = truth{}, false
	s.dev.trouble = true
	s.socSeen, s.socAt = -1, s.now
}

func (s *schedule) clock() Stamp { return s.born + Stamp(s.now-s.bornAt) }

func (s *schedule) run() error {
	ticks := 30 + s.rng.IntN(60)
	for range ticks {
		s.coordinator()
		if s.alive {
			if err := s.tick(); err != nil {
				return err
			}
		} else if s.now >= s.backAt {
			s.birth()
		}
		step := s.poll
		if s.alive && s.rng.IntN(4) == 0 {
			step = s.rng.Int64N(s.poll) + 1 // a command came between two polls
		}
		if err := s.pass(step); err != nil {
			return err
		}
	}
	return s.pass(2 * 3600 * 1000) // and then nobody is there any more
}

// pass lets time pass, and looks at the battery.
func (s *schedule) pass(ms int64) error {
	for ms > 0 {
		step := min(ms, 1000)
		if ms > 60_000 {
			step = min(ms, 60_000)
			s.alive = false
		}
		s.dev.until(s.now, s.now+step, &s.tally)
		s.now += step
		ms -= step
		if err := s.watch(); err != nil {
			return err
		}
	}
	return nil
}

// watch is what must hold at every moment.
func (s *schedule) watch() error {
	d := &s.dev
	if soc := d.soc(); soc < float64(s.limits.MinSoC)-0.001 || soc > float64(s.limits.MaxSoC)+0.001 {
		if d.kind == device.RevertsByTimer {
			return fmt.Errorf("at %d the state of charge is %.2f permille", s.now, soc)
		}
	}
	if !d.held {
		return nil
	}
	s.tally.InForce++
	if d.power > s.limits.MaxDischarge || d.power < -s.limits.MaxCharge {
		return fmt.Errorf("at %d: %s is outside the limits", s.now, d.power)
	}
	// While the gateway lives and its writes arrive, it ends what is over.
	tick := 2*s.poll + 2000 // a tick that was just missed, a tick, and the writes
	bound := d.ends + tick
	if !s.alive || d.trouble {
		switch d.kind {
		case device.RevertsByTimer:
			// A write that armed the timer and went no further gives the old
			// value the new one's time.
			bound = max(d.ends, d.armed+2*s.poll, d.stretch) + 1000 + tick
			if s.worn { // armed for longer, to spare its memory
				bound = max(bound, d.armed+18_000+tick)
			}
		case device.RevertsByWatchdog:
			bound = max(d.ends+d.watchdog, bound)
		case device.NeverReverts:
			return nil // that is what the waiver is for
		}
	}
	if s.now > bound {
		return fmt.Errorf("at %d: %s is in force, which ended at %d (alive %t, trouble %t, armed at %d, reverts at %d)", s.now, d.power, d.ends, s.alive, d.trouble, d.armed, d.reverts)
	}
	return nil
}

// coordinator sends what a coordinator may send, and some that it may not.
func (s *schedule) coordinator() {
	for range s.rng.IntN(3) {
		s.seq++
		sp := Setpoint{
			Asset: "b", Stamp: s.stamp, Epoch: s.epoch, Sequence: s.seq,
			TTL:   energy.Span([]int64{2, 5, 10, 10, 30, 120}[s.rng.IntN(6)]) * energy.Second,
			Power: energy.Power(s.rng.IntN(15_000)-7_000) * energy.Watt,
		}
		switch s.rng.IntN(12) {
		case 0:
			s.epoch++
			sp.Epoch = s.epoch
		case 1:
			sp.Epoch = max(1, s.epoch) - 1 // taken over, and does not know it
		case 2:
			sp.Quantity, sp.Power = device.ChargeLimit, energy.Power(s.rng.IntN(4000))*energy.Watt
		case 3:
			sp.Quantity, sp.Power = device.DischargeLimit, energy.Power(s.rng.IntN(4000))*energy.Watt
		}
		m := sent{sp: sp, life: s.ofLife, ends: s.stamped + int64(sp.TTL), arrives: s.now}
		switch s.rng.IntN(5) {
		case 0:
			m.arrives += s.rng.Int64N(40_000)
		case 1:
			continue // lost
		case 2:
			s.wire = append(s.wire, m) // twice
			m.arrives += s.rng.Int64N(3000)
		}
		s.wire = append(s.wire, m)
	}
}

// tick is one round of the gateway.
func (s *schedule) tick() error {
	if s.rng.IntN(3) > 0 { // its live batch arrives
		s.stamp, s.stamped, s.ofLife = s.clock(), s.now, s.life
	}
	if s.rng.IntN(10) == 0 {
		s.grid = FreeGrid()
		if s.rng.IntN(2) == 0 {
			s.grid.Draw = energy.Power(s.rng.IntN(3)) * energy.Kilowatt
		}
	}
	if s.rng.IntN(15) == 0 {
		s.full = !s.full
	}
	kept := s.wire[:0]
	for _, m := range s.wire {
		if m.arrives > s.now {
			kept = append(kept, m)
			continue
		}
		if err := s.deliver(m); err != nil {
			return err
		}
	}
	s.wire = kept
	if s.rng.Float64() >= s.bad { // a reading
		s.socSeen, s.socAt = int64(s.dev.soc()), s.now
	} else if s.now-s.socAt > 10_000 {
		s.socSeen = -1
	}
	if s.socSeen >= 0 && (s.socSeen <= s.limits.MinSoC || s.socSeen >= s.limits.MaxSoC-1) {
		s.tally.AtGuard++
	}
	done := false
	for range 8 {
		if s.rng.IntN(300) == 0 {
			s.die()
			return nil
		}
		a := s.guard.Decide(s.clock(), s.input())
		if a.Kind == Nothing {
			done = true
			break
		}
		if err := s.carryOut(a); err != nil {
			return err
		}
		if !s.alive {
			return nil
		}
	}
	if !done && s.bad == 0 {
		return errors.New("the guard does not come to rest")
	}
	if over := s.truth.live == nil || s.truth.live.ends+300 < s.now; done && s.tried && s.dev.held && over {
		return fmt.Errorf("at %d: the guard rests while the device may still hold %s", s.now, s.dev.power)
	}
	return s.settled()
}

func (s *schedule) input() Input {
	in := Input{SoC: s.socSeen, SoCAt: s.born + Stamp(s.socAt-s.bornAt), Grid: s.grid, At: energy.Instant(s.now)}
	if s.full {
		in.Withhold = "the disk is full"
	}
	return in
}

func (s *schedule) die() {
	s.alive, s.backAt = false, s.now+s.rng.Int64N(30_000)
	s.dev.trouble = true
	s.tally.Deaths++
}

// deliver offers a message, and judges by the truth whether it may be taken.
func (s *schedule) deliver(m sent) error {
	tr := &s.truth
	taken := s.guard.Offer(m.sp, s.clock()) == nil
	if m.life != s.life && s.clock() >= m.sp.Stamp {
		s.tally.OtherClock++
	}
	if !taken {
		s.tally.Refused++
		return nil
	}
	s.tally.Accepted++
	switch {
	case m.life != s.life && m.sp.Stamp < s.born:
		return fmt.Errorf("at %d: accepted a setpoint that echoes the clock of an earlier process", s.now)
	case m.life != s.life:
		// The new clock began at random and happens to have passed the same
		// reading; a real one begins among 2⁵⁰. Taken for what it says.
		m.ends = s.bornAt + int64(m.sp.Stamp-s.born) + int64(m.sp.TTL)
	case m.ends <= s.now:
		return fmt.Errorf("at %d: accepted what had ended at %d", s.now, m.ends)
	}
	if m.sp.Epoch < tr.epoch {
		return fmt.Errorf("at %d: accepted epoch %d after %d", s.now, m.sp.Epoch, tr.epoch)
	}
	if m.sp.Epoch > tr.epoch {
		tr.epoch, tr.sequence = m.sp.Epoch, 0
	}
	switch m.sp.Quantity {
	case device.ChargeLimit:
		tr.charge = &m
	case device.DischargeLimit:
		tr.discharge = &m
	default:
		if tr.live != nil && m.sp.Epoch == tr.live.sp.Epoch && m.sp.Sequence <= tr.live.sp.Sequence {
			return fmt.Errorf("at %d: accepted sequence %d after %d", s.now, m.sp.Sequence, tr.live.sp.Sequence)
		}
		tr.live = &m
	}
	return nil
}

// carryOut is device.Apply and Release on a line that loses things.
func (s *schedule) carryOut(a Action) error {
	d := &s.dev
	before := s.clock()
	s.tried = true
	if s.full && a.Kind == Set && a.Command.Quantity == device.BatteryPower && a.Command.Value != 0 {
		s.tally.Withheld++
		if v := energy.Power(a.Command.Value); a.Adds || !d.trouble && (v > max(d.power, 0) || v < min(d.power, 0)) {
			return fmt.Errorf("at %d: %s is written on top of %s, which nobody could count", s.now, v, d.power)
		}
	}
	// The write takes its time; the old value goes on meanwhile.
	took := s.rng.Int64N(150)
	d.until(s.now, s.now+took, &s.tally)
	s.now += took
	fails := s.rng.Float64() < s.bad
	how := s.rng.IntN(3)
	lost := errors.New("no answer in time")
	apply := func() {
		if a.Kind == Release {
			d.held, d.power = false, 0
			s.tally.Released++
			return
		}
		c := a.Command
		d.armed, d.reverts, d.stretch = s.now, s.now+c.Reversion.Milliseconds(), 0
		if d.kind == device.RevertsByWatchdog {
			d.reverts = s.now + d.watchdog
		}
		d.held = c.Quantity == device.BatteryPower // a limit leaves the battery to itself
		d.power = 0
		if d.held {
			d.power = energy.Power(c.Value)
			d.ends = s.now
			if s.truth.live != nil {
				d.ends = s.truth.live.ends
			}
		}
	}
	switch {
	case !fails:
		apply()
		d.trouble = false
		s.tally.Written++
		s.guard.Done(a, before, s.input(), nil)
	case how == 0: // nothing arrived
		d.trouble = true
		s.guard.Done(a, before, s.input(), lost)
	case how == 1: // the timer alone, which starts anew for the old value
		d.trouble = true
		if a.Kind == Set && d.held && d.kind != device.NeverReverts {
			d.armed, d.reverts = s.now, s.now+max(a.Command.Reversion.Milliseconds(), d.watchdog)
			d.stretch = min(d.reverts, d.ends+a.Command.Reversion.Milliseconds())
		}
		s.guard.Done(a, before, s.input(), lost)
	default: // carried out, and not acknowledged
		apply()
		d.trouble = true
		s.guard.Done(a, before, s.input(), lost)
	}
	if fails {
		s.tally.Failed++
	}
	if s.rng.IntN(200) == 0 {
		s.die()
	}
	return nil
}

// settled is what must hold after a round in which every write arrived.
func (s *schedule) settled() error {
	d, tr := &s.dev, s.truth
	if !s.alive || d.trouble || !d.held {
		return nil
	}
	if (s.worn || s.full) && d.kind == device.RevertsByTimer && d.reverts-s.now <= 300 {
		return nil // it is just coming back to itself, a write's time later than the guard counts
	}
	if tr.live == nil || tr.live.ends+300 < s.now {
		return fmt.Errorf("at %d: %s is in force and no setpoint is", s.now, d.power)
	}
	asked := tr.live.sp.Power
	if d.power > max(asked, 0) || d.power < min(asked, 0) {
		return fmt.Errorf("at %d: %s is in force, %s was asked for", s.now, d.power, asked)
	}
	if draw := -d.power; draw > s.grid.Draw {
		return fmt.Errorf("at %d: it draws %s, the grid operator allows %s", s.now, draw, s.grid.Draw)
	}
	if c := tr.charge; c != nil && c.ends > s.now && -d.power > c.sp.Power {
		return fmt.Errorf("at %d: it charges with %s, the limit is %s", s.now, -d.power, c.sp.Power)
	}
	if c := tr.discharge; c != nil && c.ends > s.now && d.power > c.sp.Power {
		return fmt.Errorf("at %d: it discharges with %s, the limit is %s", s.now, d.power, c.sp.Power)
	}
	d.ends = tr.live.ends // what is in force is what the newest asks for
	return nil
}

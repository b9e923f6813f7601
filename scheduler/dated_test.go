// SPDX-License-Identifier: AGPL-3.0-or-later

package scheduler_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"pgregory.net/rapid"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/meters"
	"github.com/allmende-energy/allmende/scheduler"
	"github.com/allmende-energy/allmende/scheduler/settlement"
)

// household reads a line such as "anna (owners, young): sun battery": a member, her
// groups, her site, its meter and what else stands there.
func (s *scenario) household(line string) []roll.Entry {
	id, has, _ := strings.Cut(strings.TrimSpace(line), ":")
	id, groups := grouped(id)
	m := roll.MemberID(id)
	out := []roll.Entry{
		{Member: &roll.Member{ID: m, Name: id, Groups: groups}},
		{Site: &roll.Site{ID: roll.SiteID(id), Member: m, Connection: s.connection}},
	}
	for _, kind := range []roll.AssetKind{roll.Meter, roll.Inverter, roll.Battery} {
		if kind == roll.Inverter && !strings.Contains(has, "sun") || kind == roll.Battery && !strings.Contains(has, "battery") {
			continue
		}
		out = append(out, device(id, kind))
	}
	return out
}

// grouped reads "anna (owners, young)".
func grouped(who string) (id string, groups []roll.Group) {
	id, list, _ := strings.Cut(strings.TrimSuffix(who, ")"), " (")
	for _, g := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' }) {
		groups = append(groups, roll.Group(g))
	}
	return id, groups
}

func device(id string, kind roll.AssetKind) roll.Entry {
	a := roll.Asset{ID: roll.AssetID(id + "-" + string(kind)), Kind: kind, Site: roll.SiteID(id), Owner: roll.MemberID(id), Gateway: "gw"}
	if kind == roll.Battery {
		a.Battery = &roll.BatteryData{
			Capacity: 10 * energy.KilowattHour, MaxCharge: 5 * energy.Kilowatt, MaxDischarge: 5 * energy.Kilowatt,
			MinSoC: 50, MaxSoC: 1000, ReserveSoC: 100, ChargeEff: 950_000, DischargeEff: 950_000,
			Placement: roll.OwnMeter, Dispatchable: true,
		}
	}
	return roll.Entry{Asset: &a}
}

// change reads lines that change the register from a time on: "clara: sun
// joins", "ben leaves", "mill gets a battery", "mill loses its battery", "ben is
// now (owners, young)", "the street is cut off", "the street is back", and what
// [ordered] reads.
func (s *scenario) change(d *datadriven.TestData) (string, error) {
	from, err := s.clock(d.CmdArgs[0].Vals[0])
	if err != nil {
		return "", err
	}
	var changes []roll.Change
	add := func(op roll.Op, entries ...roll.Entry) {
		for _, e := range entries {
			changes = append(changes, roll.Change{From: from, Op: op, Entry: e, Again: true})
		}
	}
	present := s.history.At(from)
	for line := range strings.Lines(d.Input) {
		line = strings.TrimSpace(line)
		who, _, _ := strings.Cut(strings.TrimSuffix(strings.Fields(line)[0], ":"), ":")
		switch {
		case strings.HasSuffix(line, " joins"):
			add(roll.OpAdd, s.household(strings.TrimSuffix(line, " joins"))...)
		case strings.Contains(line, " is now"):
			_, groups := grouped(line)
			changes = append(changes, roll.Change{
				From: from, Op: roll.OpChange, Fields: []string{roll.FieldGroups}, Entry: roll.Entry{Member: &roll.Member{ID: roll.MemberID(who), Groups: groups}},
			})
		case strings.HasPrefix(line, "the street is "):
			cut := strings.HasSuffix(line, "cut off")
			changes = append(changes, roll.Change{
				From: from, Op: roll.OpChange, Fields: []string{roll.FieldIsland}, Entry: roll.Entry{Connection: &roll.Connection{ID: s.connection, Island: cut}},
			})
		case ordered(line) != nil:
			c := ordered(line)
			c.From = from
			changes = append(changes, *c)
		case strings.HasSuffix(line, " leaves"):
			ref := roll.Ref{Kind: roll.KindMember, ID: who}
			for _, r := range append(present.Dependents(ref), ref) {
				add(roll.OpRetire, roll.Named(r))
			}
		case strings.HasSuffix(line, " gets a battery"):
			add(roll.OpAdd, device(who, roll.Battery))
		case strings.HasSuffix(line, " loses its battery"):
			add(roll.OpRetire, device(who, roll.Battery))
		default:
			return "", fmt.Errorf("line %q", line)
		}
	}
	if err := s.plan(changes, false); err != nil {
		return err.Error() + "\n", nil
	}
	return "", nil
}

// ordered reads "anna bids 0.18 EUR/kWh", "ben offers 12 ct/kWh EUR for 0.5 kWh",
// "anna withdraws her bid" and "ben withdraws his offer".
func ordered(line string) *roll.Change {
	who, says, _ := strings.Cut(line, " ")
	verb, order, _ := strings.Cut(says, " ")
	m := &roll.Member{ID: roll.MemberID(who)}
	c := &roll.Change{Op: roll.OpChange, Entry: roll.Entry{Member: m}}
	price, most, bounded := strings.Cut(order, " for ")
	var o roll.Order
	var err error
	if o.Price, err = energy.ParsePrice(price); err != nil && verb != "withdraws" {
		return nil
	}
	if o.Most, err = energy.ParseKWh(strings.TrimSuffix(most, " kWh")); err != nil && bounded {
		return nil
	}
	switch {
	case verb == "bids":
		m.Bid, c.Fields = &o, []string{roll.FieldBid}
	case verb == "offers":
		m.Offer, c.Fields = &o, []string{roll.FieldOffer}
	case verb == "withdraws" && strings.HasSuffix(order, " bid"):
		c.Fields = []string{roll.FieldBid}
	case verb == "withdraws" && strings.HasSuffix(order, " offer"):
		c.Fields = []string{roll.FieldOffer}
	default:
		return nil
	}
	return c
}

// plan records changes and tells the state machine, as the coordinator does,
// unless it dies in between.
func (s *scenario) plan(changes []roll.Change, dies bool) error {
	rules := roll.Rules{Interval: energy.QuarterHour, Earliest: s.day}
	if s.now > s.day { // the first interval's orders may come with the founding
		rules.Orders = energy.IntervalAt(s.now, energy.QuarterHour).End()
	}
	p, err := s.history.Plan(changes, rules)
	if err != nil {
		return err
	}
	s.history = p.History
	s.amended = append(s.amended, scheduler.Amended{From: p.From, Until: s.now.Add(energy.Day)})
	if dies {
		_, err := s.restart()
		return err
	}
	s.step(scheduler.RollChanged{From: p.From, Registers: p.Dated})
	for _, batch := range s.samples { // what was set aside may count now
		batch.Replayed = true
		s.step(batch)
	}
	return nil
}

// TestAnyOrderOfKnowing is the law behind dated registers: whatever was done to
// the register and in whatever order it became known, before or after what the
// meters said, with or without restarts in between, the settlement that stands
// in the end is that of a computer which knew everything from the beginning.
// And batteries conserve: where one had an account before, it opens as that
// closed; where it had none, it opens with what is measured in it.
func TestAnyOrderOfKnowing(t *testing.T) {
	const quarters = 12
	rapid.Check(t, func(t *rapid.T) {
		begin := village
		if rapid.Bool().Draw(t, "counted") {
			most := rapid.Int64Range(50, 1500).Draw(t, "most")
			begin = func(t *rapid.T) *scenario { return countedVillage(t, most) }
		}
		s := begin(t)
		samples := drawMeters(t, quarters)
		acts := rapid.IntRange(0, 6).Draw(t, "acts")
		for n := range quarters + 1 {
			now := s.day.Add(energy.Span(n) * energy.QuarterHour)
			s.now = now
			late := rapid.IntRange(0, 2).Draw(t, "late") // of the meters' batches of this quarter
			deliver(s, samples[n], late == 0)
			if late > 0 && n > 0 {
				deliver(s, samples[n-1], true)
			}
			settleAll(s)
			if acts > 0 && rapid.Bool().Draw(t, "act") {
				acts--
				change := drawChange(t, s, rapid.IntRange(0, quarters).Draw(t, "from"))
				_ = s.plan(change, rapid.Bool().Draw(t, "dies")) // what is refused changes nothing
			}
			if rapid.IntRange(0, 4).Draw(t, "restart") == 0 {
				if _, err := s.restart(); err != nil {
					t.Fatal(err)
				}
			}
			settleAll(s)
		}
		for _, batch := range samples {
			deliver(s, batch, true)
		}
		s.now = s.day.Add((quarters + 1) * energy.QuarterHour)
		for range 10 {
			settleAll(s)
		}
		all := begin(t)
		all.history, all.cfg.Registers = s.history, s.history.Since(s.day)
		if err := all.start(true); err != nil {
			t.Fatal(err)
		}
		for _, batch := range samples {
			deliver(all, batch, true)
		}
		all.now = s.now
		for range 10 {
			settleAll(all)
		}
		got, want := inForce(t, s), inForce(t, all)
		if len(want) < quarters {
			t.Fatalf("only %d intervals", len(want))
		}
		for start, w := range want {
			if g := got[start]; fmt.Sprintf("%+v", g) != fmt.Sprintf("%+v", w) {
				t.Fatalf("%v stands as\n%+v\nbut with everything known it is\n%+v", start, g, w)
			}
		}
		conserves(t, s, got)
	})
}

// conserves follows every battery's account through the intervals that stand.
func conserves(t *rapid.T, s *scenario, in map[energy.Instant]settlement.Input) {
	total := func(x ledger.Stock) energy.Energy { return x.Own + x.Commons + x.Grid }
	var opened, closed, moved energy.Energy
	account := map[roll.AssetID]ledger.Stock{}
	for _, start := range slices.Sorted(maps.Keys(in)) {
		here := map[roll.AssetID]bool{}
		for _, b := range in[start].Storage {
			here[b.Asset] = true
			if before, had := account[b.Asset]; had && before != b.Opening {
				t.Fatalf("%v: %s opens with %v, closed with %v", start, b.Asset, b.Opening, before)
			} else if !had {
				if b.Opening.Commons != 0 {
					t.Fatalf("%v: %s comes with stock of the commons: %v", start, b.Asset, b.Opening)
				}
				opened += total(b.Opening)
			}
			moved += b.Charged - b.Discharged - total(b.Loss) + total(b.Reconciled)
			account[b.Asset] = b.Closing
		}
		for asset, stock := range account {
			if !here[asset] { // it left, with what was in it
				closed += total(stock)
				delete(account, asset)
			}
		}
	}
	for _, stock := range account {
		closed += total(stock)
	}
	if opened+moved != closed {
		t.Fatalf("batteries came with %v, %v went in and out, %v are or left in them", opened, moved, closed)
	}
}

func village(t *rapid.T) *scenario {
	s := &scenario{}
	d := &datadriven.TestData{Input: "anna: sun\nben\nmill: battery\n"}
	if _, err := s.found(d); err != nil {
		t.Fatal(err)
	}
	s.now = s.day
	s.leaves = nil
	if err := s.start(true); err != nil {
		t.Fatal(err)
	}
	return s
}

// countedVillage is the village under a charter with a cap over a period, which
// here is of five quarters, so that some begin and end.
func countedVillage(t *rapid.T, most int64) *scenario {
	s := village(t)
	ch := &s.cfg.Charter
	ch.RulesVersion = 2
	ch.Sharing.Rounds = []charter.Round{
		{Name: "a little", Method: charter.Proportional, CapPeriod: &charter.PeriodCap{Energy: energy.Energy(most) * energy.WattHour, Per: charter.PerDay}},
		{Name: "half", Method: charter.Equal, Rest: charter.RestGrid, Cap: new(energy.Energy)},
	}
	*ch.Sharing.Rounds[1].Cap = 50 * energy.WattHour
	s.cfg.Calendar = func(_ charter.Period, at energy.Instant) (from, until energy.Instant) {
		const length = 5 * energy.QuarterHour
		from = s.day.Add(at.Sub(s.day) / length * length)
		return from, from.Add(length)
	}
	s.leaves = nil
	if err := s.start(true); err != nil {
		t.Fatal(err)
	}
	return s
}

// drawMeters is what the meters of everybody who may ever be there say.
func drawMeters(t *rapid.T, quarters int) map[int]scheduler.Samples {
	out := map[int]scheduler.Samples{}
	count := map[meters.Key]energy.Energy{}
	for n := range quarters + 1 {
		batch := scheduler.Samples{Gateway: "gw"}
		at := energy.Span(n) * energy.QuarterHour
		for _, who := range []string{"anna", "ben", "clara", "mill"} {
			soc := int64(rapid.IntRange(300, 700).Draw(t, "soc"))
			for _, k := range []meters.Key{
				{Asset: roll.AssetID(who + "-meter"), Register: meters.Import}, {Asset: roll.AssetID(who + "-meter"), Register: meters.Export},
				{Asset: roll.AssetID(who + "-inverter"), Register: meters.Production},
				{Asset: roll.AssetID(who + "-battery"), Register: meters.Charged}, {Asset: roll.AssetID(who + "-battery"), Register: meters.Discharged},
			} {
				batch.Samples = append(batch.Samples, meters.Sample{Key: k, At: energy.Instant(at), Value: count[k], SoC: soc})
				count[k] += energy.Energy(rapid.IntRange(0, 400).Draw(t, "Wh")) * energy.WattHour
			}
		}
		out[n] = batch
	}
	return out
}

// deliver brings the meters' words, all of them or those of half the assets.
func deliver(s *scenario, batch scheduler.Samples, whole bool) {
	out := scheduler.Samples{Gateway: batch.Gateway}
	for i, m := range batch.Samples {
		if whole || i%2 == 0 {
			if m.At < s.day {
				m.At += s.day
			}
			out.Samples = append(out.Samples, m)
		}
	}
	s.samples = append(s.samples, out)
	s.step(out)
}

func settleAll(s *scenario) {
	for range 4 {
		s.step(scheduler.Tick{At: s.now, DayStart: s.day})
	}
}

// drawChange is somebody or something that comes or goes.
func drawChange(t *rapid.T, s *scenario, n int) []roll.Change {
	from := s.day.Add(energy.Span(n) * energy.QuarterHour)
	who := rapid.SampledFrom([]string{"ben", "clara", "mill"}).Draw(t, "who")
	member := roll.Ref{Kind: roll.KindMember, ID: who}
	var out []roll.Change
	add := func(op roll.Op, e roll.Entry) {
		out = append(out, roll.Change{From: from, Op: op, Entry: e, Again: true})
	}
	switch rapid.IntRange(0, 4).Draw(t, "what") {
	case 0:
		for _, e := range s.household(who + ": " + rapid.SampledFrom([]string{"", "sun", "sun battery"}).Draw(t, "has")) {
			add(roll.OpAdd, e)
		}
	case 1:
		present := s.history.At(from)
		for _, r := range append(present.Dependents(member), member) {
			add(roll.OpRetire, roll.Named(r))
		}
	case 2:
		add(roll.OpAdd, device(who, roll.Battery))
	case 3: // away for a while
		add(roll.OpRetire, device(who, roll.Battery))
		from = from.Add(energy.Span(rapid.IntRange(1, 3).Draw(t, "away")) * energy.QuarterHour)
		add(roll.OpAdd, device(who, roll.Battery))
	default:
		add(roll.OpRetire, device(who, roll.Battery))
	}
	return out
}

// inForce is the settlement that stands of each interval.
func inForce(t *rapid.T, s *scenario) map[energy.Instant]settlement.Input {
	in := map[energy.Instant]settlement.Input{}
	for _, l := range s.leaves {
		if l.Leaf.Settled == nil {
			continue
		}
		settled, err := settlement.FromRows(*l.Leaf.Settled, l.Rows)
		if err != nil {
			t.Fatal(err)
		}
		in[l.Leaf.Settled.Interval.Start] = settled
	}
	return in
}

// A plan for next week changes nothing today, and a change that comes out the
// same writes nothing.
func TestAPlanWritesNothing(t *testing.T) {
	s := mill(t, 0)
	for n := range int64(4) {
		s.quarter(n, energy.Energy(n)*30*energy.WattHour, true)
	}
	s.now = s.day.Add(3 * energy.QuarterHour)
	before := len(s.leaves)
	for _, c := range []roll.Change{
		{From: s.day.Add(7 * energy.Day), Op: roll.OpRetire, Entry: device("mill", roll.Battery)},
		{From: s.day, Op: roll.OpChange, Entry: roll.Entry{Member: &roll.Member{ID: "ben", Name: "Benjamin"}}, Fields: []string{roll.FieldName}},
	} {
		if err := s.plan([]roll.Change{c}, false); err != nil {
			t.Fatal(err)
		}
	}
	settleAll(s)
	if len(s.leaves) != before {
		t.Errorf("%d leaves more", len(s.leaves)-before)
	}
}

// The register is corrected for two days ago, and the coordinator dies before it
// has settled anything again: the next one does, once.
func TestACorrectionOutlivesACrash(t *testing.T) {
	s := mill(t, 0)
	const quarters = 2 * 96
	for n := range int64(quarters) {
		s.quarter(n, energy.Energy(n)*30*energy.WattHour, true)
	}
	s.now = s.day.Add((quarters - 1) * energy.QuarterHour)
	leaving := []roll.Change{{From: s.day.Add(10 * energy.QuarterHour), Op: roll.OpRetire, Entry: device("mill", roll.Battery)}}
	before := len(s.leaves)
	if err := s.plan(leaving, true); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		settleAll(s)
	}
	if got, want := len(s.leaves)-before, 2*(quarters-1-10); got != want {
		t.Errorf("%d leaves more, expected %d", got, want)
	}
	for start, in := range s.standing(t) {
		if want := start < leaving[0].From; (len(in.Storage) == 1) != want {
			t.Errorf("%v has %d batteries", start, len(in.Storage))
		}
	}
	if reason := s.leaves[before].Leaf.Reversal.Reason; reason != "the register was corrected" {
		t.Errorf("reason %q", reason)
	}
	before = len(s.leaves)
	if _, err := s.restart(); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		settleAll(s)
	}
	if n := len(s.leaves) - before; n != 0 {
		t.Errorf("%d leaves more after another restart", n)
	}
}

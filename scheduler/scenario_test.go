// SPDX-License-Identifier: AGPL-3.0-or-later

package scheduler_test

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/allmende-energy/allmende/charters"
	"github.com/allmende-energy/allmende/charters/expr"
	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/meters"
	"github.com/allmende-energy/allmende/scheduler"
	"github.com/allmende-energy/allmende/scheduler/settlement"
)

// TestScenarios runs the scripts in testdata: a community, a charter, what the
// meters said and when, and behind ---- what the ledger then says. The scripts
// are written for a treasurer to read.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) < 3 {
		t.Fatalf("only %d scenarios found: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			s := &scenario{}
			datadriven.RunTest(t, file, func(t *testing.T, d *datadriven.TestData) string {
				out, err := s.run(d)
				if err != nil {
					t.Fatalf("%s: %s: %v", d.Pos, d.Cmd, err)
				}
				return out
			})
		})
	}
}

// scenario is a community under test: a state machine and a ledger in memory.
type scenario struct {
	community  roll.Community
	state      *scheduler.State
	leaves     []scheduler.PendingLeaf
	samples    []scheduler.Samples // the inbox
	cfg        scheduler.Config
	day        energy.Instant
	history    roll.History
	amended    []scheduler.Amended
	now        energy.Instant // of the newest tick
	connection roll.ConnectionID
	rules      string // a charter of the script's own
}

const founded = "2026-06-01T00:00:00Z"

func (s *scenario) run(d *datadriven.TestData) (string, error) {
	switch d.Cmd {
	case "charter":
		s.rules = d.Input
		return "", nil
	case "community":
		return s.found(d)
	case "register":
		return s.change(d)
	case "meters":
		return "", s.meters(d.Input)
	case "time":
		return s.tick(d)
	case "live":
		return s.live(d)
	case "restart":
		return s.restart()
	case "ledger":
		return s.print(), nil
	}
	return "", fmt.Errorf("unknown command")
}

// found reads lines such as "anna: sun" and "ben" and "mill: battery 10 kWh 5 kW".
func (s *scenario) found(d *datadriven.TestData) (string, error) {
	name, extra := "equal-shares", ""
	d.MaybeScanArgs(&testing.T{}, "charter", &name)
	d.MaybeScanArgs(&testing.T{}, "connection", &extra)
	s.community = roll.Community{ID: "test", Name: "Test", Timezone: "UTC", Gateways: []roll.Gateway{{ID: "gw", Name: "gw"}}}
	conn := roll.Connection{ID: "street", Kind: roll.PublicGrid}
	if extra == "one_meter" {
		conn = roll.Connection{ID: "house", Kind: roll.OneMeter, Meter: "house-meter"}
		s.community.Assets = append(s.community.Assets, roll.Asset{ID: "house-meter", Kind: roll.Meter, Connection: "house", Gateway: "gw"})
	}
	s.community.Connections, s.connection = []roll.Connection{conn}, conn.ID
	for line := range strings.Lines(d.Input) {
		for _, e := range s.household(line) {
			switch {
			case e.Member != nil:
				s.community.Members = append(s.community.Members, *e.Member)
			case e.Site != nil:
				s.community.Sites = append(s.community.Sites, *e.Site)
			case e.Asset != nil:
				s.community.Assets = append(s.community.Assets, *e.Asset)
			}
		}
	}
	for _, tpl := range append(charters.Templates(), charters.Template{Name: "own", YAML: []byte(s.rules)}) {
		if tpl.Name != name {
			continue
		}
		ch, err := charters.Decode(tpl.YAML)
		if err != nil {
			return "", err
		}
		if d.HasArg("settle_after") {
			var after string
			d.ScanArgs(&testing.T{}, "settle_after", &after)
			if err := ch.SettleAfter.UnmarshalText([]byte(after)); err != nil {
				return "", err
			}
		}
		hash, err := ch.Hash()
		if err != nil {
			return "", err
		}
		at, _ := time.Parse(time.RFC3339, founded)
		s.day = energy.InstantOf(at)
		s.history = roll.Found(s.community, s.day)
		s.cfg = scheduler.Config{Registers: roll.Always(s.community), Charter: ch, CharterHash: hash, Effective: s.day, Epoch: 1, Calendar: charters.CalendarOf(time.UTC)}
	}
	return "", s.start(true)
}

func (s *scenario) start(founding bool) error {
	state, err := scheduler.New(s.cfg)
	if err != nil {
		return err
	}
	s.state = state
	if !founding {
		return nil
	}
	s.step(scheduler.Started{At: s.day, Founding: true})
	return nil
}

// step applies an event and stores what it asks for at once.
func (s *scenario) step(e scheduler.Event) []scheduler.Effect {
	var all []scheduler.Effect
	var effects []scheduler.Effect
	s.state, effects = scheduler.Step(s.state, e)
	for _, effect := range effects {
		all = append(all, effect)
		if store, ok := effect.(scheduler.Store); ok {
			first := int64(len(s.leaves))
			s.leaves = append(s.leaves, store.Leaves...)
			all = append(all, s.step(scheduler.Committed{FirstIndex: first})...)
		}
		if need, ok := effect.(scheduler.NeedTerms); ok {
			all = append(all, s.step(s.evaluate(need))...)
		}
	}
	return all
}

// evaluate answers as the coordinator does, from the ledger and the register.
func (s *scenario) evaluate(need scheduler.NeedTerms) scheduler.TermsEvaluated {
	begin, _ := s.cfg.Calendar(s.cfg.Charter.WeightingPeriod, need.From-1)
	stands := map[energy.Instant]scheduler.PendingLeaf{}
	for _, l := range s.leaves {
		if l.Leaf.Settled != nil {
			stands[l.Leaf.Settled.Interval.Start] = l
		}
	}
	last := expr.Tally{}
	for start, l := range stands {
		if start < begin || start >= need.From {
			continue
		}
		in, err := settlement.FromRows(*l.Leaf.Settled, l.Rows)
		if err != nil {
			panic(err)
		}
		for i := range in.Members {
			last.Add(&in.Members[i])
		}
	}
	register := s.history.At(need.At)
	joined := func(m roll.MemberID) (energy.Instant, bool) { return s.history.Joined(m, need.At) }
	terms, err := expr.Evaluate(&s.cfg.Charter, need.From, need.Until, expr.FactsOf(&register, joined, need.At, last))
	if err != nil {
		panic(err)
	}
	return scheduler.TermsEvaluated{Terms: terms}
}

// meters reads lines such as "12:00 anna import 100.5 export 7": registers in kWh.
func (s *scenario) meters(input string) error {
	var batch scheduler.Samples
	batch.Gateway = "gw"
	for line := range strings.Lines(input) {
		f := strings.Fields(line)
		at, err := s.clock(f[0])
		if err != nil {
			return err
		}
		reset := f[len(f)-1] == "reset"
		if reset {
			f = f[:len(f)-1]
		}
		for i := 2; i+1 < len(f); i += 2 {
			v, err := energy.ParseKWh(f[i+1])
			if err != nil {
				return err
			}
			sample := meters.Sample{At: at, Value: v, SoC: -1, Reset: reset}
			sample.Register = meters.Register(f[i])
			kind := roll.Meter
			switch sample.Register {
			case meters.Production:
				kind = roll.Inverter
			case meters.Charged, meters.Discharged:
				kind = roll.Battery
			}
			sample.Asset = roll.AssetID(f[1] + "-" + string(kind))
			batch.Samples = append(batch.Samples, sample)
		}
	}
	s.samples = append(s.samples, batch)
	s.step(batch)
	return nil
}

func (s *scenario) clock(hhmm string) (energy.Instant, error) {
	var h, m int
	if n, err := fmt.Sscanf(hhmm, "%d:%d", &h, &m); n != 2 {
		return 0, err
	}
	return s.day.Add(energy.Span(h)*energy.Hour + energy.Span(m)*energy.Minute), nil // 24:15 is the next day
}

// tick lets it be a time and prints what the ledger got by it.
func (s *scenario) tick(d *datadriven.TestData) (string, error) {
	at, err := s.clock(d.CmdArgs[0].Key)
	if err != nil {
		return "", err
	}
	before := len(s.leaves)
	s.now = at
	for still := 0; still < 2; still++ { // re-settlements may need several slices
		n := len(s.leaves)
		s.step(scheduler.Tick{At: at, DayStart: s.day})
		if len(s.leaves) > n {
			still = -1
		}
	}
	if d.HasArg("quiet") {
		return fmt.Sprintf("%d leaves more\n", len(s.leaves)-before), nil
	}
	return s.printFrom(before), nil
}

// live reads lines such as "anna meter -3000" in W, ticks, and prints shares and setpoints.
func (s *scenario) live(d *datadriven.TestData) (string, error) {
	at, err := s.clock(d.CmdArgs[0].Key)
	if err != nil {
		return "", err
	}
	batch := scheduler.Readings{Gateway: "gw", StampMS: int64(at.Sub(s.day)) + 1}
	for line := range strings.Lines(d.Input) {
		var who, kind, watts string
		soc := int64(-1)
		if n, _ := fmt.Sscanf(line, "%s %s %s %d", &who, &kind, &watts, &soc); n < 3 {
			return "", fmt.Errorf("line %q", line)
		}
		p, err := energy.ParseWatts(watts)
		if err != nil {
			return "", err
		}
		batch.Readings = append(batch.Readings, meters.Reading{Asset: roll.AssetID(who + "-" + kind), At: at, Power: p, SoC: soc})
	}
	s.step(batch)
	var out strings.Builder
	for _, e := range s.step(scheduler.Tick{At: at, DayStart: s.day}) {
		switch e := e.(type) {
		case scheduler.Publish:
			f := e.Live.Flow
			fmt.Fprintf(&out, "production %v, own use %v, shared %v, from storage %v, charge %v, discharge %v, grid import %v, grid export %v, missing %d\n",
				f.Production, f.OwnUse, f.Shared, f.FromStorage, f.Charge, f.Discharge, f.GridImport, f.GridExport, f.Missing)
			for _, m := range e.Live.Members {
				fmt.Fprintf(&out, "  %s: uses %v, share %v\n", m.Member, m.Consumption, m.Share)
			}
		case scheduler.Setpoints:
			for _, p := range e.Setpoints {
				fmt.Fprintf(&out, "  setpoint %s: %v for %v (epoch %d, sequence %d)\n", p.Asset, p.Power, p.TTL, p.Epoch, p.Sequence)
			}
		}
	}
	return out.String(), nil
}

// restart forgets the state machine and builds a new one from ledger and inbox.
func (s *scenario) restart() (string, error) {
	s.cfg.Registers, s.cfg.Amended = s.history.Since(s.day), s.amended
	if err := s.start(false); err != nil {
		return "", err
	}
	latest := map[energy.Instant]int{}
	for i, l := range s.leaves {
		if l.Leaf.Settled != nil {
			latest[l.Leaf.Settled.Interval.Start] = i
		}
	}
	order := make([]int, 0, len(latest))
	for _, i := range latest {
		order = append(order, i)
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Compare(s.leaves[a].Leaf.Settled.Interval.Start, s.leaves[b].Leaf.Settled.Interval.Start)
	})
	for _, i := range order {
		s.step(scheduler.Restored{Index: int64(i), Settled: *s.leaves[i].Leaf.Settled, Rows: s.leaves[i].Rows})
	}
	for _, batch := range s.samples {
		batch.Replayed = true
		s.step(batch)
	}
	s.step(scheduler.Started{At: max(s.day, s.now)})
	return "", nil
}

func (s *scenario) print() string { return s.printFrom(0) }

func (s *scenario) printFrom(first int) string {
	var out strings.Builder
	for i := first; i < len(s.leaves); i++ {
		s.printLeaf(&out, i)
	}
	return out.String()
}

func (s *scenario) printLeaf(out *strings.Builder, i int) {
	l := s.leaves[i]
	hhmm := func(t energy.Instant) string { return t.Time().Format("15:04") }
	switch {
	case l.Leaf.Charter != nil:
		fmt.Fprintf(out, "%d charter %q in force\n", i, l.Leaf.Charter.Charter.Name)
	case l.Leaf.Reversal != nil:
		fmt.Fprintf(out, "%d leaf %d (%s) taken back: %s\n", i, l.Leaf.Reversal.Leaf, hhmm(l.Leaf.Reversal.Interval.Start), l.Leaf.Reversal.Reason)
	default:
		set := l.Leaf.Settled
		state := "complete"
		if !set.Complete {
			state = "incomplete"
		}
		fmt.Fprintf(out, "%d %s–%s, %s, %s", i, hhmm(set.Interval.Start), hhmm(set.Interval.End()), set.Quality, state)
		if set.Revision > 0 {
			fmt.Fprintf(out, ", revision %d", set.Revision)
		}
		out.WriteByte('\n')
		in, err := settlement.FromRows(*set, l.Rows)
		if err != nil {
			fmt.Fprintln(out, err)
		}
		for _, p := range set.Pools {
			fmt.Fprintf(out, "  pool %v, need %v: shared %v, from storage %v, from the grid %v, to the grid %v", p.Supply, p.Demand, p.Shared, p.FromStorage, p.GridImport, p.GridExport)
			if p.Island {
				out.WriteString(", cut off")
			}
			if p.ForSale != 0 {
				fmt.Fprintf(out, ", of that sold by the community %v", p.ForSale)
			}
			if p.Traded() != 0 {
				fmt.Fprintf(out, ", traded %v at %v", p.Traded(), p.Market.Price)
			}
			if p.Residual != 0 {
				fmt.Fprintf(out, ", unexplained %v", p.Residual)
			}
			out.WriteByte('\n')
		}
		for _, m := range in.Members {
			fmt.Fprintf(out, "  %s: needs %v, gets %v", m.Member, m.Demand, m.Share)
			if m.FromStorage > 0 {
				fmt.Fprintf(out, " and %v from storage", m.FromStorage)
			}
			fmt.Fprintf(out, "; feeds in %v, of that shared %v", m.Supply, m.Sold)
			if m.ForSale > 0 {
				fmt.Fprintf(out, ", for the community %v", m.ForSale)
			}
			for _, term := range m.Terms {
				fmt.Fprintf(out, "; %s %s", term.Expression, charter.Weight(term.Value))
			}
			for _, o := range []struct {
				verb  string
				order *roll.Order
			}{{"bids", m.Bid}, {"offers", m.Offer}} {
				if o.order != nil {
					fmt.Fprintf(out, "; %s %v", o.verb, o.order.Price)
				}
				if o.order != nil && o.order.Most > 0 {
					fmt.Fprintf(out, " for %v", o.order.Most)
				}
			}
			if m.MarketBought > 0 {
				fmt.Fprintf(out, ", buys %v", m.MarketBought)
			}
			if m.MarketSold > 0 {
				fmt.Fprintf(out, ", sells %v", m.MarketSold)
			}
			for _, u := range m.Periods {
				fmt.Fprintf(out, "; in “%s” %v this %s", u.Round, u.Before+u.Got, u.Per)
			}
			out.WriteByte('\n')
		}
		for _, b := range in.Storage {
			fmt.Fprintf(out, "  %s: %v + %v − %v − %v lost = %v\n", b.Asset, stock(b.Opening), b.Charged, b.Discharged, stock(b.Loss)-stock(b.Reconciled), stock(b.Closing))
		}
	}
}

func stock(s ledger.Stock) energy.Energy { return s.Own + s.Commons + s.Grid }

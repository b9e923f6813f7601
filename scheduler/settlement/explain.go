// SPDX-License-Identifier: AGPL-3.0-or-later

package settlement

import (
	"fmt"
	"slices"
	"strings"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/energy"
)

// Explanation is why a member got what she got in one pool of one interval. The
// command line, the API and the page show the same one.
type Explanation struct {
	Row     ledger.MemberRow
	Rounds  []ExplainedRound // those that she was in, in their order
	Remarks []string         // what else is to be said, a sentence each
	Sum     string           // over the rounds, as text
	Checked bool             // her row and the certificates give exactly what is booked
	Market  *ExplainedMarket // nil where the charter has no market round

	ofPool []string // those of Remarks that follow from what the whole pool fed in
}

// ExplainedRound is a round that she was in.
type ExplainedRound struct {
	Says        string        // the charter's own sentence
	Need        energy.Energy // when the round began, cut to her cap
	Weight      int64         // hers, or her key, in millionths; 0 where the method has none
	Cap         *energy.Energy
	Got         energy.Energy
	Arithmetic  string // how Got follows, as text
	Rank        uint64
	Certificate ledger.Round
}

// Explain tells why, with nothing but her own row and the certificates, which
// stand in the ledger for everybody.
func Explain(ch *charter.Charter, settled *ledger.IntervalSettled, row *ledger.MemberRow) (Explanation, error) {
	e := Explanation{Row: *row}
	at := slices.IndexFunc(settled.Pools, func(t ledger.PoolTotals) bool { return t.Pool == row.Pool })
	if at < 0 {
		return e, fmt.Errorf("pool %q is not in the settlement of %v", row.Pool, settled.Interval)
	}
	pool := &settled.Pools[at]
	ch = Rules(ch, pool)
	var err error
	if settled.RulesVersion < 2 {
		err = e.byBounds(ch, pool)
	} else {
		err = e.byGains(ch, settled)
	}
	if err != nil {
		return e, err
	}
	for i := range e.Rounds {
		e.Rounds[i].Says = ch.ExplainRound(e.Rounds[i].Certificate.Round)
	}
	e.remark(ch, pool)
	e.market(ch, pool)
	e.Sum = e.sum()
	return e, nil
}

// byGains is of rules version 2, whose certificates are exact.
func (e *Explanation) byGains(ch *charter.Charter, settled *ledger.IntervalSettled) error {
	gains, err := Why(ch, settled, &e.Row)
	if err != nil {
		return err
	}
	for _, g := range gains {
		r := ExplainedRound{
			Need: energy.Energy(g.Need), Weight: g.Weight, Got: energy.Energy(g.Share), Rank: g.Rank,
			Certificate: Certificate(ch, &g.Step, g.Source),
		}
		if g.Round >= 0 {
			r.Cap = ch.Sharing.Rounds[g.Round].Cap
		}
		r.Arithmetic = r.exactly()
		e.Rounds = append(e.Rounds, r)
	}
	e.Checked = CheckRow(ch, settled, &e.Row) == nil
	return nil
}

// byBounds is of rules version 1: its certificates say who got the units that a
// division left only where there is one round.
func (e *Explanation) byBounds(ch *charter.Charter, pool *ledger.PoolTotals) error {
	bounds, err := ledger.Bounds(ch, pool.Rounds, &e.Row)
	if err != nil {
		return err
	}
	left := map[ledger.Source]energy.Energy{ledger.FromSun: e.Row.Share, ledger.FromStorage: e.Row.FromStorage}
	for _, b := range bounds {
		left[b.Source] -= b.GotLow
	}
	for _, b := range bounds {
		more := min(max(left[b.Source], 0), b.GotHigh-b.GotLow)
		left[b.Source] -= more
		r := ExplainedRound{Need: b.NeedHigh, Got: b.GotLow + more, Certificate: b.Round}
		for i := range ch.Sharing.Rounds {
			if ch.Sharing.Rounds[i].Name == b.Round.Round {
				r.Cap = ch.Sharing.Rounds[i].Cap
			}
		}
		r.Arithmetic = r.nearly(more)
		e.Rounds = append(e.Rounds, r)
	}
	e.Checked = left[ledger.FromSun] == 0 && left[ledger.FromStorage] == 0
	return nil
}

// remark says what the rounds alone do not.
func (e *Explanation) remark(ch *charter.Charter, pool *ledger.PoolTotals) {
	row := &e.Row
	add := func(format string, args ...any) { e.Remarks = append(e.Remarks, fmt.Sprintf(format, args...)) }
	addOfPool := func(format string, args ...any) {
		add(format, args...)
		e.ofPool = append(e.ofPool, fmt.Sprintf(format, args...))
	}
	waits := row.Supply > 0 && ch.Sharing.ExportingSites == charter.ExportersWait
	switch others := energy.Energy(ch.Sharing.OfOthers(int64(row.Demand), int64(row.Supply), int64(pool.Supply))); {
	case row.Demand == 0:
		add("Nothing was needed from outside in this interval, so nothing was shared out to this member.")
		return
	case waits:
		add("This member fed in %v in this interval, and under this charter who feeds in does not receive from the sun in the same interval.", row.Supply)
	case others < row.Demand:
		addOfPool("Of the sun, only what others fed in may be received: at most %v of the %v that were needed.", others, row.Demand)
	}
	var was, not []string
	for _, r := range e.Rounds {
		was = append(was, r.Certificate.Round)
	}
	for _, r := range pool.Rounds {
		if !slices.Contains(was, r.Round) && !slices.Contains(not, r.Round) && !waits {
			not = append(not, r.Round)
			add("Round “%s” was not for this member. %s", r.Round, ch.ExplainRound(r.Round))
		}
	}
	if len(pool.Rounds) == 0 {
		addOfPool("Nobody's sun or storage was there to be shared in this interval.")
	}
	if row.GridImport > 0 {
		add("The rest, %v, came from the grid.", row.GridImport)
	}
}

// Withhold leaves out what shows the others of the pool: the certificates, what is
// calculated from them, and the bound that they are to a member who may receive
// only what others fed in. What is left is her own row, and what each round gave her.
func (e *Explanation) Withhold(ch *charter.Charter) {
	left, bounded := e.Row.Demand, e.Row.Supply > 0 && ch.Sharing.ExportingSites == charter.ExportersOthers
	got := map[string]energy.Energy{}
	for i := range e.Rounds {
		r := &e.Rounds[i]
		name := r.Certificate.Round
		if bounded && r.Certificate.Source == ledger.FromSun {
			r.Need = left
			if r.Cap != nil {
				r.Need = min(r.Need, *r.Cap)
			}
			for k := range ch.Sharing.Rounds {
				if of := &ch.Sharing.Rounds[k]; of.Name == name && of.CapPeriod != nil {
					r.Need = min(r.Need, max(0, energy.Energy(budget(of, &e.Row))-got[name]))
				}
			}
		}
		left -= r.Got
		got[name] += r.Got
		r.Certificate = ledger.Round{Round: name, Source: r.Certificate.Source, Method: r.Certificate.Method}
		r.Arithmetic, r.Rank = "", 0
	}
	e.Remarks = slices.DeleteFunc(e.Remarks, func(s string) bool { return slices.Contains(e.ofPool, s) })
	if e.Market != nil {
		e.Market.withhold(ch, &e.Row)
	}
}

// sum adds the rounds up, source by source, and compares with what was booked.
func (e *Explanation) sum() string {
	var parts []string
	for _, s := range []struct {
		src    ledger.Source
		name   string
		booked energy.Energy
	}{{ledger.FromSun, "from the sun", e.Row.Share}, {ledger.FromStorage, "from storage", e.Row.FromStorage}} {
		var terms []string
		var sum energy.Energy
		for i := range e.Rounds {
			if e.Rounds[i].Certificate.Source == s.src {
				terms = append(terms, e.Rounds[i].Got.KWh())
				sum += e.Rounds[i].Got
			}
		}
		switch {
		case sum == 0 && s.booked == 0:
			continue
		case len(terms) == 0:
			terms = []string{sum.KWh()}
		}
		text := strings.Join(terms, " + ")
		if len(terms) > 1 {
			text += " = " + sum.KWh()
		}
		if sum == s.booked {
			text += " kWh " + s.name + ", as booked"
		} else {
			text += fmt.Sprintf(" kWh %s, but %s kWh are booked", s.name, s.booked.KWh())
		}
		parts = append(parts, text)
	}
	for _, t := range []struct {
		booked energy.Energy
		name   string
	}{{e.Row.MarketBought, "bought"}, {e.Row.MarketSold, "sold"}} {
		if t.booked > 0 {
			parts = append(parts, fmt.Sprintf("%s kWh %s in the market round, as booked", t.booked.KWh(), t.name))
		}
	}
	if len(parts) == 0 {
		return "Nothing was received, and nothing is booked."
	}
	return strings.Join(parts, "; ") + "."
}

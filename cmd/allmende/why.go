// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/scheduler/settlement"
)

// whyCmd tells a member how her share of an interval came about.
type whyCmd struct {
	Member   string `arg:"" help:"The member's id."`
	Interval string `arg:"" help:"An instant in the interval, such as 2026-06-01T12:00:00+02:00."`
	Dir      string `required:"" type:"existingdir" help:"The community's folder."`
	JSON     bool   `help:"Print as JSON, for programs."`
}

// Help is what "allmende why --help" adds.
func (*whyCmd) Help() string {
	return `Goes through the rounds that she was in: what she needed when the round began, her weight or
key, the round's certificate, and what follows from both. It uses nothing but her own row and
the certificates, which stand in the ledger for everybody: she can do the sums by hand.

  share = min(need, weight · num / den), cut to the unit below, and one unit more where the
  remainder of that division is above cut, or equals cut and her rank is not above tie_rank

  allmende why anna 2026-06-01T12:00:00+02:00 --dir village`
}

// whyShare is the JSON of "why".
type whyShare struct {
	Member      roll.MemberID   `json:"member"`
	Interval    energy.Interval `json:"interval"`
	Pool        roll.PoolID     `json:"pool"`
	Charter     string          `json:"charter"`
	CharterHash string          `json:"charter_hash"`
	Demand      energy.Energy   `json:"demand"`
	Supply      energy.Energy   `json:"supply"`
	Share       energy.Energy   `json:"share"`
	FromStorage energy.Energy   `json:"from_storage"`
	Rounds      []whyRound      `json:"rounds"`
	Checked     bool            `json:"checked"` // the rounds give exactly her shares
}

type whyRound struct {
	Round       string         `json:"round"`
	Source      ledger.Source  `json:"source"`
	Says        string         `json:"says,omitempty"` // the charter's own sentence
	Need        energy.Energy  `json:"need"`
	Weight      int64          `json:"weight,omitempty"` // millionths
	Cap         *energy.Energy `json:"cap,omitempty"`
	Got         energy.Energy  `json:"got"`
	Certificate ledger.Round   `json:"certificate"`
}

// Run tells.
func (c *whyCmd) Run(ctx context.Context, out *output) error {
	t, err := time.Parse(time.RFC3339, c.Interval)
	if err != nil {
		return fmt.Errorf("interval %q: write an instant such as 2026-06-01T12:00:00+02:00", c.Interval)
	}
	db, err := openLedger(ctx, c.Dir)
	if err != nil {
		return err
	}
	defer db.Close() //nolint:errcheck // it was only read
	leaves, charterAt, err := standing(ctx, db)
	if err != nil {
		return err
	}
	at := energy.Instant(t.UnixMilli())
	for _, l := range leaves {
		if !l.settled.Interval.Contains(at) {
			continue
		}
		in := charterAt(l.settled.Interval.Start)
		if in == nil {
			return fmt.Errorf("the ledger names no charter for %v; check it with \"allmende ledger verify %s\"", l.settled.Interval, c.Dir)
		}
		rows, _, err := rowsOf(ctx, db, l)
		if err != nil {
			return err
		}
		return c.tell(out, &in.Charter, l.settled, rows)
	}
	return fmt.Errorf("no settled interval contains %s; \"allmende ledger verify %s --intervals\" lists them", c.Interval, c.Dir)
}

func (c *whyCmd) tell(out *output, ch *charter.Charter, settled *ledger.IntervalSettled, rows []ledger.Row) error {
	var all []whyShare
	for _, row := range rows {
		if row.Kind != ledger.RowMember || string(row.Subject) != c.Member {
			continue
		}
		m, err := row.Member()
		if err != nil {
			return err
		}
		w, err := whyOf(ch, settled, &m)
		if err != nil {
			return err
		}
		all = append(all, w)
	}
	if len(all) == 0 {
		return fmt.Errorf("member %q has no row in %v: she took no part then, or her rows are erased", c.Member, settled.Interval)
	}
	if c.JSON {
		return out.JSON(all)
	}
	for i := range all {
		if err := all[i].table(out); err != nil {
			return err
		}
	}
	return nil
}

// whyOf explains one row.
func whyOf(ch *charter.Charter, settled *ledger.IntervalSettled, m *ledger.MemberRow) (whyShare, error) {
	w := whyShare{
		Member: m.Member, Interval: settled.Interval, Pool: m.Pool, Charter: ch.Name, CharterHash: settled.CharterHash,
		Demand: m.Demand, Supply: m.Supply, Share: m.Share, FromStorage: m.FromStorage, Rounds: []whyRound{},
	}
	if settled.RulesVersion < 2 {
		for _, p := range settled.Pools {
			for _, r := range p.Rounds {
				if p.Pool == m.Pool {
					w.Rounds = append(w.Rounds, whyRound{Round: r.Round, Source: r.Source, Says: sentence(ch, r.Round), Certificate: r})
				}
			}
		}
		return w, nil
	}
	gains, err := settlement.Why(ch, settled, m)
	if err != nil {
		return w, err
	}
	for _, g := range gains {
		r := whyRound{
			Round: g.Name, Source: g.Source, Says: sentence(ch, g.Name),
			Need: energy.Energy(g.Need), Weight: g.Weight, Got: energy.Energy(g.Share), Certificate: settlement.Certificate(ch, &g.Step, g.Source),
		}
		if g.Round >= 0 {
			r.Cap = ch.Sharing.Rounds[g.Round].Cap
		}
		w.Rounds = append(w.Rounds, r)
	}
	w.Checked = settlement.CheckRow(ch, settled, m) == nil
	return w, nil
}

// sentence is what the charter's explanation says of a round.
func sentence(ch *charter.Charter, round string) string {
	for _, p := range ch.Explain() {
		if strings.Contains(p, "“"+round+"”") {
			return p
		}
	}
	return ""
}

func (w *whyShare) table(out *output) error {
	out.Printf("%s, %v, charter “%s”\n", w.Member, w.Interval, w.Charter)
	out.Printf("needed %v, fed in %v; received %v from the sun and %v from storage\n\n", w.Demand, w.Supply, w.Share, w.FromStorage)
	lines := tabwriter.NewWriter(out.Out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(lines, "round\tfrom\tneed\tweight\tcap\tgot\tpool\tcertificate")
	for _, r := range w.Rounds {
		most, weight := "", ""
		if r.Cap != nil {
			most = r.Cap.String()
		}
		if r.Weight > 0 {
			weight = charter.Weight(r.Weight).String()
		}
		c := r.Certificate
		proof := fmt.Sprintf("level %d/%d, %d units more", c.LevelNum, c.LevelDen, c.Remainder)
		need, got := "", ""
		if e := c.Exact; e != nil {
			need, got = r.Need.String(), r.Got.String()
			proof = fmt.Sprintf("λ = %d/%d, cut %d, rank up to %d", e.Num, e.Den, e.Cut, e.TieRank)
			if e.Den == 0 {
				proof = "covered everybody"
				if e.Num == 0 {
					proof = "nothing to share"
				}
			}
		}
		fmt.Fprintf(lines, "%s\t%s\t%s\t%s\t%s\t%s\t%v\t%s\n", r.Round, r.Source, need, weight, most, got, c.Pool, proof)
	}
	if err := lines.Flush(); err != nil {
		return fmt.Errorf("writing the table: %w", err)
	}
	said := map[string]bool{}
	for _, r := range w.Rounds {
		if r.Says != "" && !said[r.Round] {
			said[r.Round] = true
			out.Printf("\n%s\n", wrap(r.Says, 80))
		}
	}
	if w.Checked {
		out.Printf("\nHer own line and these certificates give exactly what was booked.\n")
	}
	return nil
}

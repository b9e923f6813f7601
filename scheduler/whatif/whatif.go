// SPDX-License-Identifier: AGPL-3.0-or-later

// Package whatif settles recorded intervals under two charters and says what
// would change for whom, in energy and in money. It books nothing.
package whatif

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"slices"

	"github.com/allmende-energy/allmende/commons/canon"
	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/commons/statement"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/scheduler/settlement"
)

// ErrConservation means that a settlement lost or invented energy: a fault of
// this program, and the reason to trust none of the figures.
var ErrConservation = errors.New("energy is not conserved")

// Grid is what the world outside costs and pays in an interval.
type Grid struct {
	Retail energy.Price // of a kWh from the grid
	FeedIn energy.Price // for a kWh into it
}

// Totals is what a member, or everybody, came to under one charter.
type Totals struct {
	Demand     energy.Energy `json:"demand"`
	Received   energy.Energy `json:"received"` // from the sun and from storage
	Given      energy.Energy `json:"given"`    // to members and to storage
	GridImport energy.Energy `json:"grid_import"`
	GridExport energy.Energy `json:"grid_export"`
	// In the market round; left out where nothing was traded.
	Bought energy.Energy `json:"bought,omitempty"`
	Sold   energy.Energy `json:"sold,omitempty"`
	Cost   int64         `json:"cost_minor"` // cents paid, less cents received; may be negative
	// Lines are what the cost comes from, each with the charter's rule; left out
	// where the totals are everybody's.
	Lines []statement.Line `json:"lines,omitempty"`
}

// Change is a member under both charters.
type Change struct {
	Member roll.MemberID `json:"member"`
	Old    Totals        `json:"old"`
	New    Totals        `json:"new"`
}

// Received is how much more (or less) she gets.
func (c *Change) Received() energy.Energy { return c.New.Received - c.Old.Received }

// Cost is how much more (or less) she pays, in cents.
func (c *Change) Cost() int64 { return c.New.Cost - c.Old.Cost }

// Report is the outcome.
type Report struct {
	Intervals int      `json:"intervals"`
	Members   []Change `json:"members"` // sorted by id
	Old       Totals   `json:"old"`     // Σ of the members
	New       Totals   `json:"new"`
	Gain      int      `json:"gain"` // members who receive a watt-hour more, or beyond
	Lose      int      `json:"lose"` // members who receive a watt-hour less, or beyond
	// Market is of charters with a market round; left out where neither has one.
	Market *Market `json:"market,omitempty"`
	// Whom the members pay, and who pays them: what is left inside, and what leaves.
	// Together with the members' costs each side sums to zero.
	Community    Account `json:"community"`
	Retailer     Account `json:"retailer"`
	GridOperator Account `json:"grid_operator"`
	// Weighting periods of which nothing is known that expressions ask for of the
	// period before: it counted 0.
	OldWithoutPast int    `json:"old_without_past,omitempty"`
	NewWithoutPast int    `json:"new_without_past,omitempty"`
	DataHash       string `json:"data_hash"`
	Hash           string `json:"hash"` // of the report without this line
}

// Market is by whose orders the market rounds traded: those that were recorded when
// the intervals were settled, under both charters. Nobody is known to have bid
// otherwise under another charter, so that where none were recorded nobody trades.
type Market struct {
	Ordered int `json:"ordered"` // intervals in which somebody's bid or offer was recorded
}

// Account is a party who is no member, under both charters.
type Account struct {
	Old statement.Statement `json:"old"`
	New statement.Statement `json:"new"`
}

// Clock is what clock and calendar at home show.
type Clock = statement.Local

// Run is a comparison under way.
type Run struct {
	sides   [2]side // old, new
	owners  map[roll.AssetID]roll.MemberID
	members map[roll.MemberID]*Change
	cal     charter.Calendar
	data    hash.Hash
	hear    func(side int, at energy.Interval, members []ledger.MemberRow)
	count   int
	ordered int // intervals with an order
}

// side is one charter at work. Batteries go on from where they stood under it.
type side struct {
	charter *charter.Charter
	money   *statement.Book
	settler settlement.Settler
	terms   Terms
	without int // weighting periods whose past is not known
	closing map[roll.AssetID]ledger.Stock
	uses    settlement.Uses // of caps over a period
}

// New prepares a comparison of a charter with the one it would replace. Local
// says what day and time it is at home, see [statement.In].
func New(old, proposed *charter.Charter, local func(energy.Instant) Clock) (*Run, error) {
	r := &Run{members: map[roll.MemberID]*Change{}, data: sha256.New()}
	for i, ch := range []*charter.Charter{old, proposed} {
		if ch.Interval != old.Interval {
			return nil, fmt.Errorf("one charter settles every %v, the other every %v; the recorded intervals fit only one of them", old.Interval, ch.Interval)
		}
		r.sides[i] = side{charter: ch, money: statement.NewBook(ch, local), closing: map[roll.AssetID]ledger.Stock{}}
	}
	return r, nil
}

// Terms are what a charter's expressions give for each member.
type Terms = map[roll.MemberID][]charter.MemberTerm

// Terms says what the charters' expressions give in the intervals that are added
// from now on; where it is nil, the rows' own terms count.
func (r *Run) Terms(old, proposed Terms) { r.sides[0].terms, r.sides[1].terms = old, proposed }

// Settled has somebody hear what each interval came to under each charter: 0 is the
// old one, 1 the proposed. The rows are good until it returns.
func (r *Run) Settled(hear func(side int, at energy.Interval, members []ledger.MemberRow)) {
	r.hear = hear
}

// WithoutPast says in how many weighting periods the charters' expressions asked
// for a period before of which nothing is known.
func (r *Run) WithoutPast(old, proposed int) { r.sides[0].without, r.sides[1].without = old, proposed }

// Note takes data into the hash that the result depends on and no interval holds.
func (r *Run) Note(data any) error {
	b, err := canon.Marshal(data)
	r.data.Write(b)
	return err
}

// Calendar says how days, months and years are cut, for caps over a period;
// without it, such a cap counts each interval by itself.
func (r *Run) Calendar(cal charter.Calendar) { r.cal = cal }

// Owners says whose the batteries are; one that is not named is the community's.
func (r *Run) Owners(of map[roll.AssetID]roll.MemberID) { r.owners = of }

// Add settles one recorded interval under both charters.
func (r *Run) Add(in settlement.Input, grid Grid) error {
	if err := r.note(in, grid); err != nil {
		return err
	}
	for i := range r.sides {
		if err := r.settle(i, in, grid); err != nil {
			return fmt.Errorf("%v under charter “%s”: %w", in.Interval, r.sides[i].charter.Name, err)
		}
	}
	r.count++
	if slices.ContainsFunc(in.Members, func(m ledger.MemberRow) bool { return m.Bid != nil || m.Offer != nil }) {
		r.ordered++
	}
	return nil
}

// note takes the data into the hash, in the ledger's order.
func (r *Run) note(in settlement.Input, grid Grid) error {
	rows := settlement.Result{Members: slices.Clone(in.Members), Storage: in.Storage, Connections: in.Connections}
	for i := range rows.Members { // inputs only
		m := rows.Members[i]
		rows.Members[i] = ledger.MemberRow{Member: m.Member, Pool: m.Pool, Groups: m.Groups, Terms: m.Terms, Bid: m.Bid, Offer: m.Offer, Sites: m.Sites}
	}
	list, err := rows.Rows(func(roll.AssetID) roll.MemberID { return "" })
	if err != nil {
		return err
	}
	b, err := canon.Marshal(struct {
		Interval       energy.Interval
		Rows           []ledger.Row
		Retail, FeedIn energy.Price
		Islands        []roll.PoolID `json:",omitempty"`
	}{in.Interval, list, grid.Retail, grid.FeedIn, in.Islands})
	if err != nil {
		return err
	}
	r.data.Write(b)
	return nil
}

func (r *Run) settle(i int, in settlement.Input, grid Grid) error {
	s := &r.sides[i]
	in.Storage = slices.Clone(in.Storage)
	for k := range in.Storage {
		if stock, ok := s.closing[in.Storage[k].Asset]; ok {
			in.Storage[k].Opening = stock
		}
	}
	in.Members = slices.Clone(in.Members)
	for k := range in.Members {
		m := &in.Members[k]
		if s.terms != nil {
			m.Terms = s.terms[m.Member]
		}
		m.Periods = nil
		if r.cal != nil {
			m.Periods = s.uses.Open(s.charter, r.cal, in.Interval.Start, m.Member, m.Pool)
		}
	}
	res, err := s.settler.Settle(s.charter, in)
	if err != nil {
		return err
	}
	for _, p := range res.Pools {
		if p.Supply+p.Discharged+p.GridImport != p.Demand+p.Charged+p.GridExport {
			return fmt.Errorf("pool %q: %w", p.Pool, ErrConservation)
		}
	}
	if r.hear != nil {
		r.hear(i, in.Interval, res.Members)
	}
	s.uses = settlement.UsesOf(res.Members)
	for k := range res.Storage {
		s.closing[res.Storage[k].Asset] = res.Storage[k].Closing
	}
	for k := range res.Members {
		m := &res.Members[k]
		t := &r.change(m.Member).Old
		if i == 1 {
			t = &r.change(m.Member).New
		}
		if m.Share+m.FromStorage+m.MarketBought+m.GridImport != m.Demand {
			return fmt.Errorf("member %q: %w", m.Member, ErrConservation)
		}
		t.add(m)
	}
	return s.money.Add(&statement.Interval{
		At: in.Interval, Pools: res.Pools, Members: res.Members, Storage: res.Storage, Connections: res.Connections,
		Owners: r.owners, Retail: grid.Retail, FeedIn: grid.FeedIn,
	})
}

func (t *Totals) add(m *ledger.MemberRow) {
	t.Demand += m.Demand
	t.Received += m.Share + m.FromStorage
	t.Given += m.Sold + m.Stored
	t.GridImport += m.GridImport
	t.GridExport += m.GridExport
	t.Bought += m.MarketBought
	t.Sold += m.MarketSold
}

func (t *Totals) plus(u *Totals) {
	t.Demand += u.Demand
	t.Received += u.Received
	t.Given += u.Given
	t.GridImport += u.GridImport
	t.GridExport += u.GridExport
	t.Bought += u.Bought
	t.Sold += u.Sold
	t.Cost += u.Cost
}

// bill writes the members' statements beside their energy.
func (r *Run) bill(i int, sheet *statement.Sheet) {
	for k := range sheet.Members {
		s := &sheet.Members[k]
		t := &r.change(s.Party.Member).Old
		if i == 1 {
			t = &r.change(s.Party.Member).New
		}
		t.Cost, t.Lines = s.Total, s.Lines
	}
}

func (r *Run) change(m roll.MemberID) *Change {
	c := r.members[m]
	if c == nil {
		c = &Change{Member: m}
		r.members[m] = c
	}
	return c
}

// Report is what the intervals so far come to.
func (r *Run) Report() (Report, error) {
	rep := Report{
		Intervals: r.count, OldWithoutPast: r.sides[0].without, NewWithoutPast: r.sides[1].without,
		DataHash: hex.EncodeToString(r.data.Sum(nil)),
	}
	if len(r.sides[0].charter.Markets())+len(r.sides[1].charter.Markets()) > 0 {
		rep.Market = &Market{r.ordered}
	}
	for i := range r.sides {
		sheet, err := r.sides[i].money.Sheet()
		if err != nil {
			return rep, fmt.Errorf("charter “%s”: %w", r.sides[i].charter.Name, err)
		}
		r.bill(i, &sheet)
		for _, x := range []struct {
			to *Account
			s  statement.Statement
		}{{&rep.Community, sheet.Community}, {&rep.Retailer, sheet.Retailer}, {&rep.GridOperator, sheet.GridOperator}} {
			if i == 0 {
				x.to.Old = x.s
			} else {
				x.to.New = x.s
			}
		}
	}
	for _, c := range r.members {
		rep.Members = append(rep.Members, *c)
	}
	slices.SortFunc(rep.Members, func(a, b Change) int {
		if a.Member < b.Member {
			return -1
		}
		return 1
	})
	for i := range rep.Members {
		c := &rep.Members[i]
		rep.Old.plus(&c.Old)
		rep.New.plus(&c.New)
		switch d := c.Received(); {
		case d >= energy.WattHour:
			rep.Gain++
		case d <= -energy.WattHour:
			rep.Lose++
		}
	}
	b, err := canon.Marshal(rep)
	if err != nil {
		return rep, err
	}
	sum := sha256.Sum256(b)
	rep.Hash = hex.EncodeToString(sum[:])
	return rep, nil
}

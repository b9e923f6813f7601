// SPDX-License-Identifier: AGPL-3.0-or-later

package allocation

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/scheduler/allocation/kernel"
)

// Taker is a member as a plan knows her.
type Taker struct {
	ID     roll.MemberID
	Groups []roll.Group
}

// Part is a part of the pool: a source that the charter names, or what no source names.
type Part struct {
	Source charter.Name // "" where the charter has no name for it
	ID     string       // breaks ties; distinct among the parts
}

// Plan is a sharing rule of rules version 2, made ready for known members and
// parts of the pool: who is in which round with which weight and keys is looked
// up once a weighting period, not once an interval. A plan holds buffers: one
// goroutine uses it at a time, and an interval allocates no memory once the
// buffers have grown.
type Plan struct {
	rules   *charter.Sharing
	takers  []Taker
	parts   []Part
	ties    []uint64 // of the takers
	partKey []uint64 // of the parts
	unit    int64
	floor   bool
	rounds  []planned
	gives   []solidarity
	held    charter.Percent // of each part, by all reserves
	last    Outcome         // see Run
	trace   *trace          // see RunFlows; nil while nobody asks

	kernel kernel.Scratch
	need   []int64 // of the eligible, in one round
	got    []int64
	keys   []uint64
	weight []int64
	offer  []int64 // of each part, in one round
	taken  []int64 // of each part, in one round
	pieces []int64 // of each edge
	listed []int32 // parts in the order of the charter's list; nil where nothing is attributed by it
	others []int32 // parts that are not in it
	column []int64 // edges of one part
}

// planned is one round, looked up.
type planned struct {
	round   *charter.Round
	tiers   []tier // one, but for priority
	parts   []int32
	members []int32   // who holds keys, for rounds and pairs
	edges   []edge    // sorted by member, in her order of priority
	byPart  [][]int32 // the places in edges of each part's keys, in the same order
	passes  int
}

// tier are those who are served together.
type tier struct {
	method charter.Method
	who    []int32 // takers; nil is all of them
	weight []int64 // static and weighted, in the order of who
	of     int64   // static: the weight that the whole pool stands for
	keyed  bool    // static: weights are percentages of the pool, whoever is there
	ties   []uint64
}

// edge is a key: what a member holds of a part.
type edge struct {
	taker, part int32
	percent     charter.Percent
}

type solidarity struct {
	percent charter.Percent
	who     []int32
	ties    []uint64
}

// NewPlan looks a sharing rule up for members and parts. Terms are what the
// charter's expressions gave; nil where it has none. Errors wrap [ErrRule] or [ErrAmount].
func NewPlan(rules *charter.Sharing, takers []Taker, parts []Part, terms *charter.Terms) (*Plan, error) {
	switch {
	case rules == nil || len(rules.Rounds) > charter.MaxRounds:
		return nil, fmt.Errorf("%w: it is missing or has more than %d rounds; validate the charter first", ErrRule, charter.MaxRounds)
	case len(takers) > MaxMembers || len(parts) > MaxMembers:
		return nil, fmt.Errorf("%w: %d members and %d sources, at most %d can share one pool; split the community", ErrAmount, len(takers), len(parts), MaxMembers)
	}
	p := &Plan{rules: rules, takers: takers, parts: parts, unit: 1}
	if r := rules.Rounding; r != nil {
		p.unit, p.floor = max(1, int64(r.Unit)), r.Mode == charter.Floor
	}
	p.ties = tieKeys(len(takers), func(i int) string { return string(takers[i].ID) })
	p.partKey = tieKeys(len(parts), func(i int) string { return parts[i].ID })
	l := lookup{plan: p, terms: terms, taker: map[roll.MemberID]int32{}, part: map[charter.Name][]int32{}}
	for i, t := range takers {
		l.taker[t.ID] = int32(i)
	}
	for i, part := range parts {
		l.part[part.Source] = append(l.part[part.Source], int32(i))
	}
	p.list(l.part)
	for i := range rules.Rounds {
		if name := l.unanswered(&rules.Rounds[i]); name != "" {
			return nil, fmt.Errorf("%w: round %q asks the expression %q, and it was evaluated for nobody", ErrRule, rules.Rounds[i].Name, name)
		}
		r, err := l.round(&rules.Rounds[i])
		if err != nil {
			return nil, fmt.Errorf("%w: round %q %w", ErrRule, rules.Rounds[i].Name, err)
		}
		p.rounds = append(p.rounds, r)
	}
	for _, r := range rules.Reserve {
		p.held += r.Percent
		if r.For == charter.ReserveSolidarity {
			who := l.members(func(t *Taker) bool { return inAny(t, r.Groups) })
			p.gives = append(p.gives, solidarity{r.Percent, who, p.tiesOf(who)})
		}
	}
	if p.held > charter.Whole {
		return nil, fmt.Errorf("%w: the reserves add up to more than 100 percent; validate the charter first", ErrRule)
	}
	return p, nil
}

// list looks up in which order a charter's list has the parts give.
func (p *Plan) list(parts map[charter.Name][]int32) {
	if p.rules.Attribution != charter.AttributeListed {
		return
	}
	known := make([]bool, len(p.parts))
	for k := range p.rules.Sources {
		for _, i := range parts[p.rules.Sources[k].Name] {
			if !known[i] {
				known[i] = true
				p.listed = append(p.listed, i)
			}
		}
	}
	for i, is := range known {
		if !is {
			p.others = append(p.others, int32(i))
		}
	}
}

// TieKey is what rules version 2 breaks ties by: the first 8 bytes, big endian,
// of SHA-256(id). See [kernel.Rank] for how an interval's seed goes in.
func TieKey(id string) uint64 {
	sum := sha256.Sum256([]byte(id))
	return binary.BigEndian.Uint64(sum[:8])
}

// tieKeys are distinct: of two ids with one key, which nobody will ever see, the
// later in the alphabet goes on to the next free key.
func tieKeys(n int, id func(int) string) []uint64 {
	keys, order := make([]uint64, n), make([]int, n)
	for i := range keys {
		keys[i], order[i] = TieKey(id(i)), i
	}
	slices.SortFunc(order, func(a, b int) int { return compare(id(a), id(b)) })
	taken := make(map[uint64]bool, n)
	for _, i := range order {
		for taken[keys[i]] {
			keys[i]++
		}
		taken[keys[i]] = true
	}
	return keys
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func (p *Plan) tiesOf(who []int32) []uint64 {
	if who == nil {
		return p.ties
	}
	keys := make([]uint64, len(who))
	for k, i := range who {
		keys[k] = p.ties[i]
	}
	return keys
}

func inAny(t *Taker, groups []roll.Group) bool {
	return slices.ContainsFunc(groups, func(g roll.Group) bool { return slices.Contains(t.Groups, g) })
}

// lookup turns a charter's names into places.
type lookup struct {
	plan  *Plan
	terms *charter.Terms
	taker map[roll.MemberID]int32
	part  map[charter.Name][]int32
}

// unanswered is an expression of the round of which nothing is recorded, though
// there are members: to take that for 0 would silently share nothing.
func (l *lookup) unanswered(r *charter.Round) charter.Name {
	names := []charter.Name{r.Eligible}
	if r.Weights != nil {
		names = append(names, r.Weights.Expression)
	}
	for _, name := range names {
		known := func(t charter.Term) bool { return t.Expression == name }
		if name != "" && len(l.plan.takers) > 0 && (l.terms == nil || !slices.ContainsFunc(l.terms.Terms, known)) {
			return name
		}
	}
	return ""
}

// members lists whom a condition holds for; nil stands for all.
func (l *lookup) members(is func(*Taker) bool) []int32 {
	who := make([]int32, 0, len(l.plan.takers))
	for i := range l.plan.takers {
		if is(&l.plan.takers[i]) {
			who = append(who, int32(i))
		}
	}
	if len(who) == len(l.plan.takers) {
		return nil
	}
	return who
}

func (l *lookup) eligible(r *charter.Round, t *Taker) bool {
	if len(r.Groups) > 0 && !inAny(t, r.Groups) {
		return false
	}
	for _, tag := range r.Tags {
		if !slices.Contains(t.Groups, tag) {
			return false
		}
	}
	return r.Eligible == "" || l.terms.Of(r.Eligible, t.ID) != 0
}

func (l *lookup) round(r *charter.Round) (planned, error) {
	pl := planned{round: r}
	if r.Cap != nil && *r.Cap < 0 {
		return pl, fmt.Errorf("has a negative cap; validate the charter first")
	}
	for _, name := range r.Sources {
		pl.parts = append(pl.parts, l.part[name]...)
	}
	if len(r.Sources) == 0 {
		for i := range l.plan.parts {
			pl.parts = append(pl.parts, int32(i))
		}
	}
	who := l.members(func(t *Taker) bool { return l.eligible(r, t) })
	switch r.Method {
	case charter.Passes, charter.Pairs:
		return pl, l.edges(&pl, r)
	case charter.Static:
		if slices.ContainsFunc(r.Keys, func(m charter.MemberKeys) bool {
			return slices.ContainsFunc(m.Keys, func(k charter.Key) bool { return k.Source != "" })
		}) {
			return pl, l.edges(&pl, r) // a key for each source: as pairs
		}
		t, err := l.static(r, who)
		pl.tiers = []tier{t}
		return pl, err
	case charter.Priority:
		return pl, l.priority(&pl, r)
	case charter.Equal, charter.Proportional, charter.Weighted:
		t, err := l.tier(r, r.Method, who)
		pl.tiers = []tier{t}
		return pl, err
	}
	return pl, fmt.Errorf("has the unknown method %q; validate the charter first", r.Method)
}

func (l *lookup) tier(r *charter.Round, method charter.Method, who []int32) (tier, error) {
	t := tier{method: method, who: who, ties: l.plan.tiesOf(who)}
	if method != charter.Weighted {
		return t, nil
	}
	var err error
	t.weight, t.of, err = l.weights(r, who)
	return t, err
}

// weights are those of who, and their sum.
func (l *lookup) weights(r *charter.Round, who []int32) (weight []int64, sum int64, err error) {
	if r.Weights == nil {
		return nil, 0, fmt.Errorf("has no weights; validate the charter first")
	}
	own := make(map[roll.MemberID]charter.Weight, len(r.Weights.Members))
	for _, m := range slices.Backward(r.Weights.Members) { // the first entry is the one that counts
		own[m.Member] = m.Weight
	}
	each := func(i int32) {
		w := max(0, l.weight(r.Weights, own, &l.plan.takers[i]))
		if w > math.MaxInt64-sum {
			err = fmt.Errorf("has weights that sum to more than 63 bits hold; make them smaller")
			return
		}
		sum += w
		weight = append(weight, w)
	}
	l.each(who, each)
	return weight, sum, err
}

// each calls f for who; nil stands for all.
func (l *lookup) each(who []int32, f func(int32)) {
	if who == nil {
		for i := range l.plan.takers {
			f(int32(i))
		}
	}
	for _, i := range who {
		f(i)
	}
}

func (l *lookup) weight(w *charter.Weights, own map[roll.MemberID]charter.Weight, t *Taker) int64 {
	if w.Expression != "" {
		return l.terms.Of(w.Expression, t.ID)
	}
	if mine, ok := own[t.ID]; ok {
		return int64(mine)
	}
	for _, g := range w.Groups {
		if slices.Contains(t.Groups, g.Group) {
			return int64(g.Weight)
		}
	}
	if w.Default != nil {
		return int64(*w.Default)
	}
	return 0
}

// static has weights, or keys that name no source.
func (l *lookup) static(r *charter.Round, who []int32) (tier, error) {
	t := tier{method: charter.Static, who: who, ties: l.plan.tiesOf(who)}
	if len(r.Keys) == 0 {
		var err error
		t.weight, t.of, err = l.weights(r, who)
		return t, err
	}
	held, sum := make(map[int32]int64, len(r.Keys)), int64(0)
	for _, m := range r.Keys {
		if i, ok := l.taker[m.Member]; ok {
			for _, k := range m.Keys {
				held[i] += int64(k.Percent)
				sum += int64(k.Percent)
			}
		}
	}
	if sum > charter.Whole {
		return t, fmt.Errorf("has keys of more than 100 percent; validate the charter first")
	}
	t.of, t.keyed = charter.Whole, true
	l.each(who, func(i int32) { t.weight = append(t.weight, held[i]) })
	return t, nil
}

func (l *lookup) priority(pl *planned, r *charter.Round) error {
	within := r.Within
	if within == "" {
		within = charter.Equal
	}
	served := make([]bool, len(l.plan.takers))
	for _, step := range r.Tiers {
		who, named := []int32{}, make(map[roll.MemberID]bool, len(step.Members))
		for _, m := range step.Members {
			named[m] = true
		}
		for i := range l.plan.takers {
			t := &l.plan.takers[i]
			if !served[i] && l.eligible(r, t) && (named[t.ID] || inAny(t, step.Groups)) {
				served[i] = true
				who = append(who, int32(i))
			}
		}
		t, err := l.tier(r, within, who)
		if err != nil {
			return err
		}
		pl.tiers = append(pl.tiers, t)
	}
	return nil
}

// edges are the keys of a round of pairs or passes.
func (l *lookup) edges(pl *planned, r *charter.Round) error {
	sum, divides := make([]charter.Percent, len(l.plan.parts)), make([]bool, len(l.plan.parts))
	for _, part := range pl.parts {
		divides[part] = true
	}
	for _, m := range r.Keys {
		i, ok := l.taker[m.Member]
		if !ok || !l.eligible(r, &l.plan.takers[i]) {
			continue
		}
		pl.members = append(pl.members, i)
		for _, k := range m.Keys {
			parts := l.part[k.Source]
			if k.Source == "" { // of the pool as a whole: of every part
				parts = pl.parts
			}
			for _, part := range parts {
				if !divides[part] {
					continue // a source that the round does not divide
				}
				if sum[part] += k.Percent; sum[part] > charter.Whole {
					return fmt.Errorf("has keys to %q of more than 100 percent; validate the charter first", k.Source)
				}
				pl.edges = append(pl.edges, edge{i, part, k.Percent})
			}
		}
	}
	slices.SortStableFunc(pl.edges, func(a, b edge) int { return int(a.taker) - int(b.taker) })
	pl.byPart = make([][]int32, len(l.plan.parts))
	for n, e := range pl.edges {
		pl.byPart[e.part] = append(pl.byPart[e.part], int32(n))
	}
	pl.passes = 1
	if r.Method == charter.Passes {
		if pl.passes = r.Passes; pl.passes <= 0 {
			pl.passes = min(defaultPasses, max(1, len(pl.members)))
		}
	}
	return nil
}

// defaultPasses is what the Czech data centre runs for small groups.
const defaultPasses = 5

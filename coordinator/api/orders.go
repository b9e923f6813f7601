// SPDX-License-Identifier: AGPL-3.0-or-later

package api

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/coordinator/access"
	"github.com/allmende-energy/allmende/energy"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

// Orders is the OrderService: the door of the register at which a member sets her
// own bid and offer, and nothing else.
type Orders struct {
	allmendev1.UnimplementedOrderServiceServer
	register *Administration
}

// OrderService is the service of bids and offers.
func OrderService(register Registrar) Service {
	return Service{
		Desc: &allmendev1.OrderService_ServiceDesc, Impl: &Orders{register: &Administration{register: register}},
		REST: func(ctx context.Context, mux *runtime.ServeMux, conn grpc.ClientConnInterface) error {
			return allmendev1.RegisterOrderServiceHandlerClient(ctx, mux, allmendev1.NewOrderServiceClient(conn))
		},
	}
}

// maxOrderChanges is how often a member's orders may change within a day. Each
// change stays in the register for good, and a bid is a standing one. Who has used
// them up may still withdraw what stands, so that nobody trades who no longer wants to.
const maxOrderChanges = 24

// GetOrders implements the service.
func (s *Orders) GetOrders(ctx context.Context, req *allmendev1.GetOrdersRequest) (*allmendev1.MemberOrders, error) {
	id := roll.MemberID(req.GetMemberId())
	if err := access.CurvesOf(ctx, id); err != nil {
		return nil, err
	}
	v := s.register.register.View()
	out := &allmendev1.MemberOrders{
		MemberId: string(id), EarliestUnixMs: int64(energy.IntervalAt(v.Now, v.Interval).End()), IntervalMs: int64(v.Interval), Timezone: v.Zone.String(),
	}
	if m := v.Rules.Markets(); len(m) > 0 {
		out.LowestPrice, out.HighestPrice = m[0].Lowest.String(), m[0].Highest.String()
	}
	known := false
	var last *roll.Member
	for i, d := range v.History.Since(v.Now) {
		m, there := memberOf(&d.Community, id)
		known = known || there
		switch {
		case i == 0:
			out.Bid, out.Offer = encodeOrder(m.Bid), encodeOrder(m.Offer)
		case !sameOrders(last, m):
			out.Coming = append(out.Coming, &allmendev1.ComingOrders{FromUnixMs: int64(d.From), Bid: encodeOrder(m.Bid), Offer: encodeOrder(m.Offer)})
		}
		last = m
	}
	if !known {
		return nil, toStatus(fmt.Errorf("%w: there is no member %q at present", ErrNotFound, id))
	}
	return out, nil
}

// memberOf is a member of a register; one who is not there has no orders.
func memberOf(c *roll.Community, id roll.MemberID) (m *roll.Member, there bool) {
	for i := range c.Members {
		if c.Members[i].ID == id {
			return &c.Members[i], true
		}
	}
	return &roll.Member{ID: id}, false
}

func sameOrders(a, b *roll.Member) bool {
	return roll.Equal(roll.Entry{Member: &roll.Member{Bid: a.Bid, Offer: a.Offer}}, roll.Entry{Member: &roll.Member{Bid: b.Bid, Offer: b.Offer}})
}

// SetOrder implements the service.
func (s *Orders) SetOrder(ctx context.Context, req *allmendev1.SetOrderRequest) (*allmendev1.ApplyChangesResponse, error) {
	if err := access.OrdersOf(ctx, roll.MemberID(req.GetMemberId())); err != nil {
		return nil, err
	}
	price := strings.TrimSpace(req.GetPrice())
	if price != "" && !strings.ContainsAny(price, " \t") {
		price += " " + string(s.register.register.View().Rules.Currency) + "/kWh"
	}
	o, err := decodeOrder("", &allmendev1.OrderEntry{Price: price, MostMilliwattHours: req.GetMostMilliwattHours()})
	if err != nil {
		return nil, toStatus(err)
	}
	return s.change(ctx, orderChange{req.GetMemberId(), req.GetSide(), o, req.GetFrom(), req.GetNote(), req.GetDryRun()})
}

// WithdrawOrder implements the service.
func (s *Orders) WithdrawOrder(ctx context.Context, req *allmendev1.WithdrawOrderRequest) (*allmendev1.ApplyChangesResponse, error) {
	if err := access.OrdersOf(ctx, roll.MemberID(req.GetMemberId())); err != nil {
		return nil, err
	}
	return s.change(ctx, orderChange{req.GetMemberId(), req.GetSide(), nil, req.GetFrom(), req.GetNote(), req.GetDryRun()})
}

// orderChange is what a member asks for.
type orderChange struct {
	member, side string
	order        *roll.Order // nil: it is withdrawn
	from, note   string
	dryRun       bool
}

func (s *Orders) change(ctx context.Context, o orderChange) (*allmendev1.ApplyChangesResponse, error) {
	ref, err := refOf(string(roll.KindMember), o.member)
	if err != nil {
		return nil, toStatus(err)
	}
	m := &roll.Member{ID: roll.MemberID(ref.ID)}
	switch o.side {
	case roll.FieldBid:
		m.Bid = o.order
	case roll.FieldOffer:
		m.Offer = o.order
	default:
		return nil, toStatus(asked("side", "%.40q is neither: write %s for what she still needs, or %s for what she has left", o.side, roll.FieldBid, roll.FieldOffer))
	}
	v := s.register.register.View()
	from, err := v.From(o.from)
	if err != nil {
		return nil, toStatus(err)
	}
	most := maxOrderChanges
	if o.order == nil {
		most *= 2
	}
	if !o.dryRun && changedToday(v, m.ID) >= most {
		return nil, toStatus(asked("member_id", "the orders of %s changed %d times within a day, and no more can be kept: a bid or an offer stands until it is withdrawn, so set one that may stay", ref, maxOrderChanges))
	}
	act := Act{Changes: []roll.Change{{From: from, Op: roll.OpChange, Entry: roll.Entry{Member: m}, Fields: []string{o.side}}}, DryRun: o.dryRun}
	return s.register.apply(ctx, act, o.note)
}

// changedToday counts the changes of a member's orders that were recorded within
// the last day of world time.
func changedToday(v RegisterView, id roll.MemberID) int {
	n := 0
	for i := len(v.Revisions) - 1; i >= 0 && v.Revisions[i].World > v.Now.Add(-energy.Day); i-- {
		for _, c := range v.Revisions[i].Changes {
			if ofOrders(c) && c.Entry.Member.ID == id {
				n++
			}
		}
	}
	return n
}

func encodeOrder(o *roll.Order) *allmendev1.OrderEntry {
	if o == nil {
		return nil
	}
	return &allmendev1.OrderEntry{Price: o.Price.String(), MostMilliwattHours: int64(o.Most)}
}

// decodeOrder reads a bid or an offer, which field names; whether it is within
// bounds is checked when it is planned.
func decodeOrder(field string, o *allmendev1.OrderEntry) (*roll.Order, error) {
	if o == nil {
		return nil, nil //nolint:nilnil // none stands
	}
	if field != "" {
		field += "."
	}
	p, err := energy.ParsePrice(o.GetPrice())
	if err != nil {
		return nil, asked(field+"price", "%v", err)
	}
	return &roll.Order{Price: p, Most: energy.Energy(o.GetMostMilliwattHours())}, nil
}

// withoutOrders takes from an entry what a member bids and offers, unless whoever
// asks may see it. The register is open to more people than the members' affairs.
func withoutOrders(ctx context.Context, e *allmendev1.RegisterEntry) *allmendev1.RegisterEntry {
	if m := e.GetMember(); m != nil && !access.From(ctx).SeesCurvesOf(roll.MemberID(m.GetId())) {
		m.Bid, m.Offer, m.OrdersWithheld = nil, nil, true
	}
	return e
}

// withoutGuesses takes from the answer to an act what would tell whether an order in
// it is the one that stands already, unless whoever asks may see it. Without that,
// dry runs would find out anybody's order, one price after the other.
func withoutGuesses(ctx context.Context, act *Act, done *Applied) {
	who := access.From(ctx)
	from, hidden := ever, false
	for _, c := range act.Changes {
		if ofOrders(c) && !who.SeesCurvesOf(c.Entry.Member.ID) {
			from, hidden = min(from, c.From), true
		}
	}
	switch {
	case !hidden:
	case done.DryRun:
		if done.Unchanged {
			done.Unchanged, done.Revision, done.From = false, done.Revision+1, from
		}
		done.From = min(done.From, from)
		done.Recorded = roll.Revision{Number: done.Revision, Actor: act.Actor, Note: act.Note, Recorded: time.UnixMilli(0), Changes: act.Changes}
	case !done.Unchanged:
		done.From = min(done.From, from)
	}
}

// ofOrders says whether a change sets or withdraws an order.
func ofOrders(c roll.Change) bool {
	m := c.Entry.Member
	if c.Op == roll.OpAdd {
		return m != nil && (m.Bid != nil || m.Offer != nil)
	}
	return m != nil && (slices.Contains(c.Fields, roll.FieldBid) || slices.Contains(c.Fields, roll.FieldOffer))
}

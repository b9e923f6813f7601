// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

// ordering is what bidding and offering have in common.
type ordering struct {
	ID       string `arg:"" help:"The member's id."`
	Withdraw bool   `xor:"what" help:"It stands no longer."`
	where
	On     string `placeholder:"DATE" help:"From when: a day such as 2026-12-01, or a local time such as 2026-12-01T14:15. Without it: from the next quarter-hour on; never earlier."`
	Note   string `help:"Why, for those who read the history."`
	DryRun bool   `help:"Only check, and say what would be done."`
	JSON   bool   `help:"Print as JSON."`
}

// orders opens the OrderService.
func (w *where) orders(ctx context.Context) (allmendev1.OrderServiceClient, func(), error) {
	conn, err := w.connect(ctx)
	if err != nil {
		return nil, nil, err
	}
	return allmendev1.NewOrderServiceClient(conn), func() { _ = conn.Close() }, nil
}

// do sets an order of one side, or withdraws it.
func (c *ordering) do(ctx context.Context, out *output, side, price, most string) error {
	if c.Withdraw && most != "" || !c.Withdraw && price == "" {
		return errors.New("write a price, such as --price 0.18, or --withdraw alone")
	}
	var amount energy.Energy
	if most != "" {
		var err error
		if amount, err = energy.ParseKWh(most); err != nil || amount <= 0 {
			return fmt.Errorf("--most %.40q is no amount: write kilowatt-hours in each interval, such as 0.5, or leave it out", most)
		}
	}
	client, done, err := c.orders(ctx)
	if err != nil {
		return err
	}
	defer done()
	var res *allmendev1.ApplyChangesResponse
	if c.Withdraw {
		res, err = client.WithdrawOrder(ctx, &allmendev1.WithdrawOrderRequest{MemberId: c.ID, Side: side, From: c.On, Note: c.Note, DryRun: c.DryRun})
	} else {
		res, err = client.SetOrder(ctx, &allmendev1.SetOrderRequest{
			MemberId: c.ID, Side: side, Price: price, MostMilliwattHours: int64(amount), From: c.On, Note: c.Note, DryRun: c.DryRun,
		})
	}
	if err != nil {
		return err
	}
	if c.JSON {
		return out.JSON(appliedAsJSON(res))
	}
	printApplied(out, res)
	return nil
}

type memberBidCmd struct {
	Price string `xor:"what" placeholder:"PRICE" help:"The most that she pays for a kWh, in the charter's currency, such as 0.18; or with its unit, such as \"18 ct/kWh EUR\"."`
	Most  string `placeholder:"KWH" help:"At most so many kWh in each quarter-hour. Without it: all that she still needs."`
	ordering
}

// Help is what "allmende member bid --help" adds.
func (*memberBidCmd) Help() string {
	return `A charter may have a market round (sharing.market): after all of its rounds and
storage, members who still need energy bid for what others have left. One price
clears each quarter-hour: whoever bids at least that pays that, never more than she
bid. No bid lowers anybody's share from the rounds.

A bid stands until another takes its place or it is withdrawn. It counts from the
next quarter-hour on, never for one that has begun. The charter says between which
prices it takes bids and offers. Neighbours are not shown it.

  allmende member bid anna --price 0.18
  allmende member bid anna --price "18 ct/kWh EUR" --most 0.5
  allmende member bid anna --withdraw --on 2027-01-01`
}

// Run bids.
func (c *memberBidCmd) Run(ctx context.Context, out *output) error {
	return c.do(ctx, out, roll.FieldBid, c.Price, c.Most)
}

type memberOfferCmd struct {
	Price string `xor:"what" placeholder:"PRICE" help:"The least that she takes for a kWh, in the charter's currency, such as 0.08; or with its unit, such as \"8 ct/kWh EUR\"."`
	Most  string `placeholder:"KWH" help:"At most so many kWh in each quarter-hour. Without it: all that she has left."`
	ordering
}

// Help is what "allmende member offer --help" adds.
func (*memberOfferCmd) Help() string {
	return `A charter may have a market round (sharing.market): what a member fed in and neither
the rounds nor storage took, she may offer to members who still need energy. One
price clears each quarter-hour: whoever offers at or below it is paid it, never
less than she asked for. What nobody buys goes to the grid as before.

An offer stands until another takes its place or it is withdrawn. It counts from the
next quarter-hour on, never for one that has begun. Neighbours are not shown it.

  allmende member offer anna --price 0.08
  allmende member offer anna --price "8 ct/kWh EUR" --most 1.5
  allmende member offer anna --withdraw`
}

// Run offers.
func (c *memberOfferCmd) Run(ctx context.Context, out *output) error {
	return c.do(ctx, out, roll.FieldOffer, c.Price, c.Most)
}

type memberOrdersCmd struct {
	ID string `arg:"" help:"The member's id."`
	looking
}

// Run shows.
func (c *memberOrdersCmd) Run(ctx context.Context, out *output) error {
	client, done, err := c.orders(ctx)
	if err != nil {
		return err
	}
	defer done()
	o, err := client.GetOrders(ctx, &allmendev1.GetOrdersRequest{MemberId: c.ID})
	if err != nil {
		return err
	}
	if c.JSON {
		return out.JSON(ordersAsJSON(o))
	}
	zone := zoneOf(o.GetTimezone())
	if o.GetLowestPrice() == "" {
		out.Remark("The charter in force has no market round: nobody can bid or offer.\n")
	}
	t := tabwriter.NewWriter(out.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "FROM\tBID\tOFFER\n")
	fmt.Fprintf(t, "now\t%s\t%s\n", orderText(o.GetBid()), orderText(o.GetOffer()))
	for _, x := range o.GetComing() {
		fmt.Fprintf(t, "%s\t%s\t%s\n", moment(zone, x.GetFromUnixMs()), orderText(x.GetBid()), orderText(x.GetOffer()))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if o.GetLowestPrice() != "" {
		out.Remark("The charter takes prices from %s to %s. What is entered now counts from %s on.\n", o.GetLowestPrice(), o.GetHighestPrice(), moment(zone, o.GetEarliestUnixMs()))
	}
	return nil
}

// orderText is an order for people.
func orderText(o *allmendev1.OrderEntry) string {
	switch {
	case o == nil:
		return "-"
	case o.GetMostMilliwattHours() == 0:
		return o.GetPrice()
	}
	return fmt.Sprintf("%s, at most %s", o.GetPrice(), energy.Energy(o.GetMostMilliwattHours()))
}

// The JSON of a member's orders.
type (
	orderJSON struct {
		Price string `json:"price"`
		Most  string `json:"most_kwh,omitempty"`
	}
	standingJSON struct {
		From  *time.Time `json:"from,omitempty"` // absent: now
		Bid   *orderJSON `json:"bid,omitempty"`
		Offer *orderJSON `json:"offer,omitempty"`
	}
	ordersJSON struct {
		Member string `json:"member"`
		standingJSON
		Coming   []standingJSON `json:"coming"`
		Lowest   string         `json:"lowest_price,omitempty"`
		Highest  string         `json:"highest_price,omitempty"`
		Earliest time.Time      `json:"earliest"`
	}
)

func ordersAsJSON(o *allmendev1.MemberOrders) ordersJSON {
	one := func(o *allmendev1.OrderEntry) *orderJSON {
		if o == nil {
			return nil
		}
		return &orderJSON{o.GetPrice(), orderFields("", o)[1].value}
	}
	out := ordersJSON{
		Member: o.GetMemberId(), standingJSON: standingJSON{Bid: one(o.GetBid()), Offer: one(o.GetOffer())}, Coming: []standingJSON{},
		Lowest: o.GetLowestPrice(), Highest: o.GetHighestPrice(), Earliest: time.UnixMilli(o.GetEarliestUnixMs()).UTC(),
	}
	for _, x := range o.GetComing() {
		from := time.UnixMilli(x.GetFromUnixMs()).UTC()
		out.Coming = append(out.Coming, standingJSON{&from, one(x.GetBid()), one(x.GetOffer())})
	}
	return out
}

// SPDX-License-Identifier: AGPL-3.0-or-later

package coordinator

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/internal/config"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

// bidders is a lane of six homes that live by a charter with a market round.
func bidders(t *testing.T, community string) (c *Coordinator, dir string, w *world) {
	t.Helper()
	dir, w = folder(t, community), newWorld(t, dawn)
	if err := os.WriteFile(filepath.Join(dir, "charter.yaml"), []byte(marketLane), 0o600); err != nil {
		t.Fatal(err)
	}
	return startInService(t, dir, w), dir, w
}

// A member sets her own bid and offer and nobody else's, sees no neighbour's, and
// what stood when an interval began is in its row.
func TestAMemberBids(t *testing.T) {
	c, dir, w := bidders(t, sixHomes())
	stella := c.found(t)
	anna, ben := c.invite(t, stella, "anna.a", "anna", "member"), c.invite(t, stella, "ben.b", "ben", "member")
	installer, steward := c.invite(t, stella, "ines", "", "installer"), c.invite(t, stella, "sam", "", "steward")

	// What is entered within the second interval counts from the third on.
	w.until(dawn.Add(quarter + minute))
	done := anna.must("PUT", "/v1/orders/anna/offer", fields{"price": "0.08", "mostMilliwattHours": "500000"})
	if done["fromUnixMs"] != fmt.Sprint(int64(dawn.Add(2*quarter))) {
		t.Errorf("recorded %v", done)
	}
	steward.must("PUT", "/v1/orders/fay/bid", fields{"price": "18 ct/kWh EUR", "note": "by letter"})
	own := anna.must("GET", "/v1/orders/anna", nil)
	if coming := fmt.Sprint(own["coming"]); own["offer"] != nil || !strings.Contains(coming, "price:8 ct/kWh EUR") || own["lowestPrice"] != "5 ct/kWh EUR" {
		t.Errorf("anna's orders: %v", own)
	}

	for _, neighbour := range []string{"anna", "nobody"} {
		ben.refused(404, "you may see", "GET", "/v1/orders/"+neighbour, nil)
		ben.refused(404, "you may set", "PUT", "/v1/orders/"+neighbour+"/offer", fields{"price": "0.3"})
		ben.refused(404, "you may set", "DELETE", "/v1/orders/"+neighbour+"/offer", nil)
	}
	ben.refused(403, "register.change", "PATCH", "/v1/register/member/ben", fields{"entry": fields{"member": fields{"id": "ben", "bid": fields{"price": "20 ct/kWh EUR"}}}, "fields": []string{"bid"}})
	installer.refused(404, "you may set", "PUT", "/v1/orders/anna/offer", fields{"price": "0.3"})
	steward.refused(404, "you may see", "GET", "/v1/orders/anna", nil)
	for who, sees := range map[*browser]bool{stella: true, installer: false, steward: false} {
		for _, path := range []string{"/v1/register/member/anna?on=2026-12-01", "/v1/register/member?on=2026-12-01", "/v1/register/member/anna/history", "/v1/register-export?on=2026-12-01"} {
			code, text := who.do("GET", path, nil)
			if code != 200 || strings.Contains(text, "8 ct/kWh") != sees {
				t.Errorf("%s, sees orders %v: %d %s", path, sees, code, text)
			}
			if told := strings.Contains(text, `"ordersWithheld":true`); told == sees && !strings.Contains(path, "export") {
				t.Errorf("%s: withheld %v: %s", path, told, text)
			}
		}
	}

	for body, want := range map[string]string{
		"0.31":          "takes prices from 5 ct/kWh EUR to 30 ct/kWh EUR, and 31 ct/kWh EUR is not between them",
		"4 ct/kWh EUR":  "takes prices from 5 ct/kWh EUR to 30 ct/kWh EUR",
		"18 Rp/kWh CHF": "counts in EUR",
		"cheap":         "price",
		"":              "price",
	} {
		anna.refused(400, want, "PUT", "/v1/orders/anna/bid", fields{"price": body})
	}
	anna.refused(400, "write bid", "PUT", "/v1/orders/anna/wish", fields{"price": "0.1"})
	anna.refused(400, "no amount", "PUT", "/v1/orders/anna/bid", fields{"price": "0.1", "mostMilliwattHours": "-1"})
	for _, from := range []string{"now", dawn.String()} {
		anna.refused(400, "before the interval begins", "PUT", "/v1/orders/anna/bid", fields{"price": "0.1", "from": from})
		anna.refused(400, "before the interval begins", "DELETE", "/v1/orders/anna/offer?from="+from, nil)
	}

	w.until(dawn.Add(2*quarter + minute))
	if own := anna.must("GET", "/v1/orders/anna", nil); !strings.Contains(fmt.Sprint(own["offer"]), "8 ct/kWh EUR") || len(own["coming"].([]any)) != 0 {
		t.Errorf("anna's orders a quarter-hour later: %v", own)
	}
	d, _ := connect(t, c, enrol(t, c, "gw-a"), "s1")
	w.until(dawn.Add(3*quarter + minute))
	d.meter(1, sunnyQuarters(dawn, 4)...)
	d.barrier()
	w.bookedUntil(c, dawn.Add(3*quarter))
	for i, want := range []string{"", "", "anna offers 8 ct/kWh EUR 0.5 kWh, fay bids 18 ct/kWh EUR 0 kWh"} {
		if got := ordersIn(t, c, dawn.Add(quarter*energy.Span(i))); got != want {
			t.Errorf("interval %d is settled by %q, want %q", i, got, want)
		}
	}
	audit := fmt.Sprint(stella.must("GET", "/v1/audit?pageSize=1000", nil)["entries"])
	for _, want := range []string{"SetOrder", "WithdrawOrder", "member anna"} {
		if !strings.Contains(audit, want) {
			t.Errorf("the audit log does not hold %q: %s", want, audit)
		}
	}
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	verified(t, dir)
	c = startInService(t, dir, w)
	orders, err := allmendev1.NewOrderServiceClient(c.operator(t)).GetOrders(t.Context(), &allmendev1.GetOrdersRequest{MemberId: "fay"})
	if err != nil || orders.GetBid().GetPrice() != "18 ct/kWh EUR" || orders.GetOffer() != nil {
		t.Errorf("after a restart: %v, %v", orders, err)
	}
}

// What may not be seen cannot be found out by acts of the register either: not from
// the answer to an import that is about something else, and not by guessing without
// doing it, alone or among other changes.
func TestOrdersAreNotGuessed(t *testing.T) {
	c, _, w := bidders(t, sixHomes())
	stella := c.found(t)
	steward := c.invite(t, stella, "sam", "", "steward")
	stella.must("PUT", "/v1/orders/anna/offer", fields{"price": "8 ct/kWh EUR"})
	w.until(dawn.Add(quarter + minute))

	csv := base64.StdEncoding.EncodeToString([]byte("member,name\nanna,Anna Berg\n"))
	done := steward.must("POST", "/v1/register-import", fields{"fileName": "members.csv", "content": csv})
	if text := fmt.Sprint(done); !strings.Contains(text, "Anna Berg") || strings.Contains(text, "8 ct/kWh") {
		t.Errorf("the answer to an import: %s", text)
	}

	told := func(who *browser, price string) string {
		alone := who.must("PUT", "/v1/orders/anna/offer", fields{"price": price, "dryRun": true})
		anna := fields{"id": "anna", "offer": fields{"price": price}}
		among := who.must("POST", "/v1/register-changes", fields{"dryRun": true, "changes": []fields{
			{"op": "change", "entry": fields{"member": anna}, "fields": []string{"offer"}},
			{"op": "change", "entry": fields{"member": fields{"id": "ben", "name": "Benno"}}, "fields": []string{"name"}, "from": "2026-12-01"},
		}})
		return strings.ReplaceAll(fmt.Sprint(alone, among), price, "PRICE")
	}
	right, wrong := "8 ct/kWh EUR", "9 ct/kWh EUR"
	if a, b := told(steward, right), told(steward, wrong); a != b {
		t.Errorf("the right guess is told by\n%s\nand the wrong one by\n%s", a, b)
	}
	if text := told(stella, right); !strings.Contains(text, "unchanged:true") {
		t.Errorf("who may see the offer is not told that it is the same already: %s", text)
	}
}

// ordersIn are the orders in the rows of the interval that begins at an instant.
func ordersIn(t *testing.T, c *Coordinator, at energy.Instant) string {
	t.Helper()
	page, err := c.store.SettledPage(t.Context(), at.Add(quarter), 1)
	if err != nil || len(page) != 1 || page[0].Settled.Interval.Start != at {
		t.Fatalf("%v, %v", page, err)
	}
	latest, err := c.store.LatestSettled(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, r := range latest {
		for _, row := range r.Rows {
			if r.Settled.Interval.Start != at || row.Kind != ledger.RowMember {
				continue
			}
			m, err := row.Member()
			if err != nil {
				t.Fatal(err)
			}
			if m.Bid != nil {
				said = append(said, fmt.Sprintf("%s bids %v %v", m.Member, m.Bid.Price, m.Bid.Most))
			}
			if m.Offer != nil {
				said = append(said, fmt.Sprintf("%s offers %v %v", m.Member, m.Offer.Price, m.Offer.Most))
			}
		}
	}
	return strings.Join(said, ", ")
}

// Who changes her bid all day long is told that it is a standing one: each change
// stays in the register for good.
func TestOrdersAreFew(t *testing.T) {
	c, _, w := bidders(t, sixHomes())
	orders := allmendev1.NewOrderServiceClient(c.operator(t))
	set := func(i int, dry bool) error {
		_, err := orders.SetOrder(t.Context(), &allmendev1.SetOrderRequest{MemberId: "anna", Side: "bid", Price: fmt.Sprintf("0.%d", 10+i%20), DryRun: dry})
		return err
	}
	for i := range 24 {
		if err := set(i, false); err != nil {
			t.Fatal(err)
		}
	}
	if err := set(25, false); err == nil || !strings.Contains(err.Error(), "24 times within a day") {
		t.Errorf("a change too many: %v", err)
	}
	if _, err := orders.WithdrawOrder(t.Context(), &allmendev1.WithdrawOrderRequest{MemberId: "anna", Side: "bid"}); err != nil {
		t.Errorf("what stands is withdrawn all the same: %v", err)
	}
	if _, err := orders.SetOrder(t.Context(), &allmendev1.SetOrderRequest{MemberId: "ben", Side: "bid", Price: "0.1"}); err != nil {
		t.Errorf("her neighbour: %v", err)
	}
	w.until(dawn.Add(energy.Day + minute))
	if err := set(26, false); err != nil {
		t.Errorf("a day later: %v", err)
	}
}

// A register with orders is written as a file and read as the same one, and founds a
// community with them.
func TestOrdersInAFile(t *testing.T) {
	with := strings.Replace(sixHomes(), "id: anna, name", "id: anna, offer: {price: 8 ct/kWh EUR, most_kwh: 0.5}, name", 1)
	c, _, _ := bidders(t, with)
	out, err := allmendev1.NewAdministrationServiceClient(c.operator(t)).ExportRegister(t.Context(), &allmendev1.ExportRegisterRequest{})
	if err != nil {
		t.Fatal(err)
	}
	back, err := config.DecodeCommunity("export.yaml", []byte(out.GetYaml()))
	if err != nil {
		t.Fatal(err)
	}
	want := roll.Order{Price: energy.Price{Micro: 8_000_000, Currency: "EUR"}, Most: 500 * energy.WattHour}
	if i := slices.IndexFunc(back.Members, func(m roll.Member) bool { return m.ID == "anna" }); i < 0 || back.Members[i].Offer == nil || *back.Members[i].Offer != want {
		t.Errorf("exported\n%s", out.GetYaml())
	}
	if again := config.EncodeCommunity(back); !bytes.Equal(again, []byte(out.GetYaml())) {
		t.Errorf("exported\n%s\nand written again\n%s", out.GetYaml(), again)
	}
}

// SPDX-License-Identifier: AGPL-3.0-or-later

package store_test

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/coordinator/store"
	"github.com/allmende-energy/allmende/energy"
)

// everyEntry is a founding with an entry of each kind and every field, and what
// may happen to entries later.
func everyEntry() []roll.Revision {
	battery := roll.BatteryData{
		Capacity: 9_600 * energy.WattHour, MaxCharge: 5 * energy.Kilowatt, MaxDischarge: 4 * energy.Kilowatt, MinSoC: 100, MaxSoC: 950,
		ReserveSoC: 300, ChargeEff: 948_683, DischargeEff: 950_000, Placement: roll.BehindMeter, Dispatchable: true,
	}
	order := roll.Order{Price: energy.Price{Micro: 18_000_000, Currency: "EUR"}, Most: 500 * energy.WattHour}
	c := roll.Community{
		ID: community, Name: "Linden & Söhne", Timezone: "Europe/Vienna",
		Members:     []roll.Member{{ID: "anna", Name: "Anna", Groups: []roll.Group{"families"}, Bid: &order, Offer: &roll.Order{Price: order.Price}}, {ID: "ben"}},
		Connections: []roll.Connection{{ID: "village", Kind: roll.PublicGrid, ImportLimit: 43 * energy.Kilowatt, ExportLimit: 1}, {ID: "mill", Kind: roll.OneMeter, Meter: "mill-main"}},
		Sites:       []roll.Site{{ID: "anna-home", Member: "anna", Connection: "village", Latitude: "48.2", Longitude: "16.3"}},
		Assets: []roll.Asset{
			{ID: "mill-main", Kind: roll.Meter, Connection: "mill", Gateway: "gw"},
			{ID: "anna-battery", Kind: roll.Battery, Site: "anna-home", Owner: "anna", Gateway: "gw", Battery: &battery},
		},
		Gateways: []roll.Gateway{{ID: "gw", Name: "Cellar"}},
	}
	first := roll.Revision{Number: 1, Actor: "founding", Recorded: time.UnixMilli(1_700_000_000_123).UTC(), World: day0}
	for _, e := range c.Entries() {
		first.Changes = append(first.Changes, roll.Change{From: day0, Op: roll.OpAdd, Entry: e})
	}
	second := roll.Revision{Number: 2, Actor: "eva", Note: "moved\n<out>", Recorded: time.UnixMilli(1_700_000_000_456).UTC(), World: day0.Add(energy.Hour)}
	second.Changes = []roll.Change{
		{From: day0.Add(energy.Day), Op: roll.OpChange, Entry: roll.Entry{Member: &roll.Member{ID: "anna", Name: "Anna B."}}, Fields: []string{roll.FieldName}},
		{From: day0.Add(energy.Day), Op: roll.OpChange, Entry: roll.Entry{Member: &roll.Member{ID: "anna"}}, Fields: []string{roll.FieldBid}},
		{From: day0.Add(2 * energy.Day), Op: roll.OpRetire, Entry: roll.Named(roll.Ref{Kind: roll.KindMember, ID: "ben"})},
		{From: day0.Add(3 * energy.Day), Op: roll.OpAdd, Again: true, Entry: roll.Entry{Member: &roll.Member{ID: "ben", Name: "Ben"}}},
	}
	return []roll.Revision{first, second}
}

func TestRegisterComesBack(t *testing.T) { onEach(t, testRegisterComesBack) }

func testRegisterComesBack(t *testing.T, on engine) {
	ctx := context.Background()
	s, path := fresh(t, on)
	if got, err := s.Register(ctx); err != nil || len(got) != 0 {
		t.Fatalf("%v, %v", got, err)
	}
	want := everyEntry()
	for _, rev := range want {
		if err := s.AppendRegister(ctx, rev); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path)
	got, err := s.Register(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("recorded\n%+v\ncame back as\n%+v", want, got)
	}
	for _, number := range []int64{0, 2, 4} {
		if err := s.AppendRegister(ctx, roll.Revision{Number: number, Actor: "late"}); !errors.Is(err, store.ErrRevision) {
			t.Errorf("revision %d behind 2: %v", number, err)
		}
	}
	if again, err := s.Register(ctx); err != nil || len(again) != 2 {
		t.Errorf("%d revisions, %v", len(again), err)
	}
}

// What is erased is erased in the register's history as well.
func TestErasedNames(t *testing.T) { onEach(t, testErasedNames) }

func testErasedNames(t *testing.T, on engine) {
	ctx := context.Background()
	s, _ := fresh(t, on)
	for _, rev := range everyEntry() {
		if err := s.AppendRegister(ctx, rev); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Erase(ctx, "anna"); err != nil {
		t.Fatal(err)
	}
	got, err := s.Register(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, rev := range got {
		for _, c := range rev.Changes {
			if m := c.Entry.Member; m != nil && m.ID == "anna" && m.Name != "" {
				t.Errorf("revision %d says %q", rev.Number, m.Name)
			}
			if m := c.Entry.Member; m != nil && m.ID == "anna" && (m.Bid != nil || m.Offer != nil) {
				t.Errorf("revision %d says what she bid or offered", rev.Number)
			}
		}
	}
	if got[0].Changes[1].Entry.Member.Groups[0] != "families" || got[1].Changes[3].Entry.Member.Name != "Ben" {
		t.Error("more than her names is gone")
	}
}

// A register that was changed behind the store's back is not read as another one.
func TestDamagedRegister(t *testing.T) { onEach(t, testDamagedRegister) }

func testDamagedRegister(t *testing.T, on engine) {
	ctx := context.Background()
	for _, damage := range []string{
		`UPDATE register_change SET body = '{"nam":"x"}' WHERE id = 'anna'`,
		`UPDATE register_change SET body = '{} {}' WHERE id = 'anna'`,
		`UPDATE register_change SET kind = 'cat' WHERE id = 'anna'`,
		`DELETE FROM register_change; DELETE FROM register_revision WHERE revision = 1`,
	} {
		s, path := fresh(t, on)
		for _, rev := range everyEntry() {
			if err := s.AppendRegister(ctx, rev); err != nil {
				t.Fatal(err)
			}
		}
		execSQL(t, path, damage)
		if got, err := s.Register(ctx); !errors.Is(err, store.ErrDamaged) {
			t.Errorf("%s: %v, %v", damage, got, err)
		}
	}
}

// SPDX-License-Identifier: AGPL-3.0-or-later

package api_test

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/coordinator/access"
	"github.com/allmende-energy/allmende/coordinator/api"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/meters/series"
	"github.com/allmende-energy/allmende/meters/series/embedded"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

const (
	day1 = energy.Instant(1_780_012_800_000)
	day2 = day1 + energy.Instant(energy.Day)
)

// lane is a community of which Anna lived in the first house on the first day,
// and Dora from the second.
type lane struct {
	store  series.Store
	rolls  []roll.Dated
	booked []api.BookedInterval
}

func (l *lane) Measured() series.Store { return l.store }
func (l *lane) Zone() *time.Location   { return time.FixedZone("two hours", 2*3600) }
func (l *lane) Booked(_ context.Context, _ roll.MemberID, span series.Span, limit int) (out []api.BookedInterval, _ error) {
	for _, b := range l.booked {
		if b.Start >= span.From && b.Start < span.To && len(out) < limit {
			out = append(out, b)
		}
	}
	return out, nil
}
func (l *lane) Rolls(from energy.Instant) []roll.Dated {
	if from >= day2 {
		return l.rolls[1:]
	}
	return l.rolls
}

func newLane(t *testing.T, neighbours int) (*api.History, *lane) {
	t.Helper()
	c := func(living roll.MemberID) roll.Community {
		out := roll.Community{
			ID: "lane", Members: []roll.Member{{ID: "anna"}, {ID: "ben"}, {ID: "dora"}},
			Connections: []roll.Connection{{ID: "grid", Kind: roll.PublicGrid}},
			Sites:       []roll.Site{{ID: "first", Member: living, Connection: "grid"}, {ID: "second", Member: "ben", Connection: "grid"}},
			Assets: []roll.Asset{
				{ID: "first-meter", Kind: roll.Meter, Site: "first"}, {ID: "second-meter", Kind: roll.Meter, Site: "second"},
				{ID: "bens-battery", Kind: roll.Battery, Site: "first", Owner: "ben"}, {ID: "our-battery", Kind: roll.Battery, Site: "second"},
				{ID: "house-meter", Kind: roll.Meter, Connection: "grid"},
			},
		}
		for i := range neighbours {
			id := fmt.Sprintf("n%d", i)
			out.Members = append(out.Members, roll.Member{ID: roll.MemberID(id)})
			out.Sites = append(out.Sites, roll.Site{ID: roll.SiteID(id), Member: roll.MemberID(id), Connection: "grid"})
		}
		return out
	}
	store := embedded.Open(t.Context(), filepath.Join(t.TempDir(), "series.db"), embedded.Options{})
	t.Cleanup(func() { store.Close(context.Background()) })
	l := &lane{store: store, rolls: []roll.Dated{{From: day1, Community: c("anna")}, {From: day2, Community: c("dora")}}}
	for _, of := range []series.Subject{
		{Kind: series.Member, Name: "anna"}, {Kind: series.Member, Name: "ben"}, {Kind: series.Member, Name: "dora"}, {Kind: series.Community, Name: "lane"},
		{Kind: series.Asset, Name: "first-meter"}, {Kind: series.Asset, Name: "second-meter"}, {Kind: series.Asset, Name: "bens-battery"},
		{Kind: series.Asset, Name: "our-battery"}, {Kind: series.Asset, Name: "house-meter"},
	} {
		for at := day1; at < day2.Add(energy.Day); at = at.Add(energy.Hour) {
			r := series.Record{Subject: of, At: at}
			for _, q := range of.Kind.Quantities() {
				r.Values = append(r.Values, series.Value{Quantity: q, Value: 7})
			}
			store.Append([]series.Record{r})
		}
	}
	return api.NewHistory(l, access.DefaultCrowd), l
}

func as(t *testing.T, kind access.Kind, role access.Role, member roll.MemberID, scopes ...access.Scope) context.Context {
	t.Helper()
	policy, err := access.Load()
	if err != nil {
		t.Fatal(err)
	}
	return access.With(t.Context(), policy.Grant(access.Principal{ID: "x", Kind: kind, Roles: []access.Role{role}, Member: member, Scopes: scopes}))
}

// A member sees what is hers, and is told nothing else, not even that it exists.
func TestWhoseCurves(t *testing.T) {
	h, _ := newLane(t, 0)
	anna, dora := as(t, access.Person, access.RoleMember, "anna"), as(t, access.Person, access.RoleMember, "dora")
	nobody, steward := as(t, access.Person, access.RoleMember, ""), as(t, access.Person, access.RoleSteward, "")
	treasurer, program := as(t, access.Person, access.RoleTreasurer, ""), as(t, access.Token, access.RoleIntegration, "", "curves")
	screen, none := as(t, access.Token, access.RoleIntegration, "", "live"), t.Context()
	who := map[string]context.Context{"anna": anna, "dora": dora, "a member of no household": nobody, "a steward": steward, "the treasurer": treasurer, "a billing program": program, "a screen": screen, "a caller that nobody named": none}
	first, second, both := [2]energy.Instant{day1, day2}, [2]energy.Instant{day2, day2.Add(energy.Day)}, [2]energy.Instant{day1, day2.Add(energy.Day)}
	for _, c := range []struct {
		what string
		when [2]energy.Instant
		may  string
	}{
		{"member anna", first, "anna, the treasurer, a billing program"},
		{"member anna", both, "anna, the treasurer, a billing program"},
		{"member dora", both, "dora, the treasurer, a billing program"},
		{"member ben", both, "the treasurer, a billing program"},
		{"member nina", both, ""},
		{"member ", both, ""},
		{"booked anna", both, "anna, the treasurer, a billing program"},
		{"booked ben", both, "the treasurer, a billing program"},
		// Who moves in does not see what was used before.
		{"asset first-meter", first, "anna, the treasurer, a billing program"},
		{"asset first-meter", second, "dora, the treasurer, a billing program"},
		{"asset first-meter", both, "the treasurer, a billing program"},
		{"asset bens-battery", both, "the treasurer, a billing program"},
		{"asset our-battery", both, "anna, dora, a member of no household, a steward, the treasurer, a billing program, a screen, a caller that nobody named"}, // the policy refuses the last one before
		{"asset house-meter", both, "the treasurer, a billing program"},
		{"asset no-such", both, ""},
	} {
		kind, id, _ := strings.Cut(c.what, " ")
		for name, ctx := range who {
			from, to := int64(c.when[0]), int64(c.when[1])
			var err error
			n := 0
			switch kind {
			case "member":
				var got *allmendev1.History
				got, err = h.GetMemberHistory(ctx, &allmendev1.GetMemberHistoryRequest{MemberId: id, FromUnixMs: from, ToUnixMs: to})
				n = len(got.GetCurves())
			case "asset":
				var got *allmendev1.History
				got, err = h.GetAssetHistory(ctx, &allmendev1.GetAssetHistoryRequest{AssetId: id, FromUnixMs: from, ToUnixMs: to})
				n = len(got.GetCurves())
			case "booked":
				_, err = h.GetMemberBooked(ctx, &allmendev1.GetMemberBookedRequest{MemberId: id, FromUnixMs: from, ToUnixMs: to})
			}
			may := false
			for one := range strings.SplitSeq(c.may, ", ") {
				may = may || one == name
			}
			switch {
			case may && err != nil, may && kind != "booked" && n == 0:
				t.Errorf("%s in %v: %s may see it, and gets %d curves, %v", c.what, c.when, name, n, err)
			case !may && (status.Code(err) != codes.NotFound || n > 0):
				t.Errorf("%s in %v: %s may not see it, and gets %d curves, %v", c.what, c.when, name, n, err)
			}
		}
	}
	// The refusal is the same whether or not there is such a member.
	_, there := h.GetMemberHistory(anna, &allmendev1.GetMemberHistoryRequest{MemberId: "ben", ToUnixMs: 5})
	_, absent := h.GetMemberHistory(anna, &allmendev1.GetMemberHistoryRequest{MemberId: "nin", ToUnixMs: 5})
	if strings.ReplaceAll(there.Error(), "ben", "nin") != absent.Error() {
		t.Errorf("%q tells more than %q", there, absent)
	}
}

// The community's curves are shown to everybody where enough members stand behind them.
func TestCommunityCurvesNeedACrowd(t *testing.T) {
	req := &allmendev1.GetCommunityHistoryRequest{FromUnixMs: int64(day1), ToUnixMs: int64(day2)}
	// One battery among many shows its owner's use; what passes the meters does not.
	for neighbours, want := range map[int]int{0: 0, 2: 0, 3: 4} {
		h, l := newLane(t, neighbours)
		got, err := h.GetCommunityHistory(as(t, access.Person, access.RoleMember, "anna"), req)
		if err != nil || len(got.GetCurves()) != want || len(got.GetWithheld()) < 9-want {
			t.Errorf("%d neighbours: %d curves, %q withheld, %v", neighbours, len(got.GetCurves()), got.GetWithheld(), err)
		}
		if got, err := h.GetCommunityHistory(as(t, access.Person, access.RoleTreasurer, ""), req); err != nil || len(got.GetCurves()) != 9 {
			t.Errorf("the treasurer gets %d curves, %v", len(got.GetCurves()), err)
		}
		if neighbours < 3 {
			continue
		}
		for i := range l.rolls {
			c := &l.rolls[i].Community
			c.Assets = slices.DeleteFunc(slices.Clone(c.Assets), func(a roll.Asset) bool { return a.Owner != "" })
		}
		if got, err := h.GetCommunityHistory(as(t, access.Person, access.RoleMember, "anna"), req); err != nil || len(got.GetCurves()) != 9 || len(got.GetWithheld()) != 0 {
			t.Errorf("without it: %d curves, %q withheld, %v", len(got.GetCurves()), got.GetWithheld(), err)
		}
	}
}

// What is too much is refused and says what to do; where nothing is asked for,
// the resolution suits the span.
func TestHistoryIsBounded(t *testing.T) {
	h, l := newLane(t, 0)
	ctx := as(t, access.Person, access.RoleTreasurer, "")
	ask := func(from, to energy.Instant, r energy.Span) (*allmendev1.History, error) {
		return h.GetMemberHistory(ctx, &allmendev1.GetMemberHistoryRequest{MemberId: "anna", FromUnixMs: int64(from), ToUnixMs: int64(to), ResolutionMs: int64(r)})
	}
	for name, c := range map[string]struct {
		from, to energy.Instant
		r        energy.Span
		says     string
	}{
		"backwards":        {day2, day1, 0, "the earlier one first"},
		"before 1970":      {-1, day1, 0, "from_unix_ms"},
		"a wrong length":   {day1, day2, 7 * energy.Second, "divides a day"},
		"half a second":    {day1, day2, 500, "whole number of seconds"},
		"a second a day":   {day1, day2, energy.Second, "at most"},
		"the longest time": {0, 4_102_444_800_000, energy.Minute, "coarser resolution"},
	} {
		_, err := ask(c.from, c.to, c.r)
		says := c.says
		if says == "at most" {
			says = "more than the 3000"
		}
		if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for span, want := range map[energy.Span]energy.Span{
		10 * energy.Minute: energy.Second, energy.Hour: 10 * energy.Second, 6 * energy.Hour: energy.Minute, energy.Day: 5 * energy.Minute,
		7 * energy.Day: energy.QuarterHour, 31 * energy.Day: energy.Hour, 120 * energy.Day: 4 * energy.Hour, 365 * energy.Day: energy.Day,
	} {
		if got, err := ask(day1, day1.Add(span), 0); err != nil || got.GetResolutionMs() != int64(want) {
			t.Errorf("%s by itself is answered by %s, %v; want %s", span, energy.Span(got.GetResolutionMs()), err, want)
		}
	}
	for i := range energy.Span(3_100) {
		l.booked = append(l.booked, api.BookedInterval{Interval: energy.Interval{Start: day1.Add(i * energy.QuarterHour), Length: energy.QuarterHour}, Share: 1})
	}
	_, err := h.GetMemberBooked(ctx, &allmendev1.GetMemberBookedRequest{MemberId: "anna", ToUnixMs: 4e12})
	if status.Code(err) != codes.InvalidArgument {
		t.Errorf("too many intervals: %v", err)
	}
	// Days and months are those of the community's time zone.
	got, err := h.GetMemberBooked(ctx, &allmendev1.GetMemberBookedRequest{MemberId: "anna", ToUnixMs: 4e12, By: allmendev1.BookedBy_BOOKED_BY_DAY})
	if err != nil || len(got.GetEnergies()) != 33 || got.GetEnergies()[0].GetIntervals() != 88 || got.GetEnergies()[1].GetIntervals() != 96 {
		t.Errorf("by day: %d, %v, %v", len(got.GetEnergies()), got.GetEnergies()[:2], err)
	}
	got, err = h.GetMemberBooked(ctx, &allmendev1.GetMemberBookedRequest{MemberId: "anna", ToUnixMs: 4e12, By: allmendev1.BookedBy_BOOKED_BY_MONTH})
	if err != nil || len(got.GetEnergies()) != 2 {
		t.Errorf("by month: %v, %v", got.GetEnergies(), err)
	}
}

// SPDX-License-Identifier: AGPL-3.0-or-later

package coordinator

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/coordinator/store"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/internal/config"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
	"github.com/allmende-energy/allmende/scheduler/settlement"
)

func administration(t *testing.T, dir string) allmendev1.AdministrationServiceClient {
	t.Helper()
	return allmendev1.NewAdministrationServiceClient(adminConn(t, dir))
}

func memberOf(id, name string) *allmendev1.RegisterEntry {
	return &allmendev1.RegisterEntry{Entry: &allmendev1.RegisterEntry_Member{Member: &allmendev1.MemberEntry{Id: id, Name: name}}}
}

// verified runs what `ledger verify` does over a stopped coordinator's folder.
func verified(t *testing.T, dir string) ledger.Report {
	t.Helper()
	serve, err := config.LoadServe(dir)
	if err != nil {
		t.Fatal(err)
	}
	_, verifiers, err := store.LoadVerifier(serve.LedgerKey)
	if err != nil {
		t.Fatal(err)
	}
	r, err := store.OpenReader(t.Context(), filepath.Join(dir, "data", "ledger.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	report, err := ledger.Verify(t.Context(), r, verifiers, settlement.Recompute, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !report.Holds() {
		t.Errorf("the ledger does not hold: %v", report.Fault)
	}
	return report
}

// TestTheRegisterIsCorrected: Ben turns out to have moved in a quarter-hour
// later than was settled. What was settled for him is taken back, a restart
// finds it so, and everything verifies.
func TestTheRegisterIsCorrected(t *testing.T) {
	dir, w := folder(t, twoHomes), newWorld(t, dawn)
	c := start(t, dir, w)
	a, _ := connect(t, c, enrol(t, c, "gw-a"), "s1")
	b, _ := connect(t, c, enrol(t, c, "gw-b"), "s1")
	w.until(dawn.Add(3*quarter + minute))
	a.meter(1, quarterHoursA(dawn, 0, 4)...)
	b.meter(1, quarterHoursB(dawn, 0, 4)...)
	a.barrier()
	b.barrier()
	w.settledUntil(c, dawn.Add(3*quarter))
	admin := administration(t, dir)

	away := &allmendev1.ApplyChangesRequest{Note: "moved in later", Changes: []*allmendev1.RegisterChange{{
		Op: "retire", WithDependents: true, Entry: memberOf("ben", ""), From: dawn.String(),
	}}}
	for _, e := range []*allmendev1.RegisterEntry{
		memberOf("ben", "Ben"),
		{Entry: &allmendev1.RegisterEntry_Site{Site: &allmendev1.SiteEntry{Id: "ben-home", MemberId: "ben", ConnectionId: "village"}}},
		{Entry: &allmendev1.RegisterEntry_Asset{Asset: &allmendev1.AssetEntry{Id: "ben-meter", Kind: "meter", SiteId: "ben-home", GatewayId: "gw-b"}}},
	} {
		away.Changes = append(away.Changes, &allmendev1.RegisterChange{Op: "add", Again: true, Entry: e, From: dawn.Add(quarter).String()})
	}
	done, err := admin.ApplyChanges(t.Context(), away)
	if err != nil || done.GetIntervalsSettledAgain() != 3 || done.GetRevision() != 2 {
		t.Fatalf("%v, %v", done, err)
	}
	var got intervals
	for range 100 {
		w.until(w.clock.Now().Add(minute))
		if get(t, c, "/v1/intervals?pageSize=10", &got); got.Intervals[len(got.Intervals)-1].Revision == 1 {
			break
		}
	}
	// Ben needed what Anna fed in; in the first interval he was not there.
	first, second := got.Intervals[len(got.Intervals)-1], got.Intervals[len(got.Intervals)-2]
	if first.Revision != 1 || first.Pools[0].DemandMilliwattHours != "0" || second.Revision != 0 || second.Pools[0].DemandMilliwattHours == "0" {
		t.Errorf("first %+v\nsecond %+v", first, second)
	}
	h, err := admin.ListHistory(t.Context(), &allmendev1.ListHistoryRequest{Kind: "member", Id: "ben"})
	if err != nil || len(h.GetChanges()) != 3 || h.GetChanges()[1].GetActor() != "local" || h.GetChanges()[1].GetNote() != "moved in later" {
		t.Errorf("history %v, %v", h, err)
	}
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	report := verified(t, dir)
	if report.Reversals != 1 {
		t.Errorf("%d reversals", report.Reversals)
	}

	c = start(t, dir, w)
	for range 5 {
		w.until(w.clock.Now().Add(minute))
	}
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	if again := verified(t, dir); again.Leaves != report.Leaves {
		t.Errorf("%d leaves before the restart, %d after", report.Leaves, again.Leaves)
	}
}

// TestStewardsDoNotOverwriteEachOther: an act is for the register that it was
// made for, and one that is not in order changes nothing.
func TestStewardsDoNotOverwriteEachOther(t *testing.T) {
	dir, w := folder(t, twoHomes), newWorld(t, dawn)
	c := start(t, dir, w)
	admin := administration(t, dir)
	add := func(id string, revision int64, dry bool) (*allmendev1.ApplyChangesResponse, error) {
		return admin.AddEntry(t.Context(), &allmendev1.AddEntryRequest{Kind: "member", Id: id, Entry: memberOf(id, id), ExpectedRevision: revision, DryRun: dry})
	}
	if res, err := add("clara", 1, true); err != nil || !res.GetDryRun() || res.GetRevision() != 2 {
		t.Fatalf("%v, %v", res, err)
	}
	if _, err := add("clara", 1, false); err != nil {
		t.Fatal(err)
	}
	if _, err := add("dora", 1, false); status.Code(err) != codes.Aborted {
		t.Errorf("a steward with an old page: %v", err)
	}
	if _, err := add("clara", 0, false); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "already") {
		t.Errorf("clara twice: %v", err)
	}
	if _, err := admin.AddEntry(t.Context(), &allmendev1.AddEntryRequest{Kind: "member", Id: "dora", Entry: memberOf("eva", "")}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("one was named, another sent: %v", err)
	}
	if _, err := admin.GetEntry(t.Context(), &allmendev1.GetEntryRequest{Kind: "member", Id: "zoe"}); status.Code(err) != codes.NotFound {
		t.Errorf("nobody: %v", err)
	}
	list, err := admin.ListEntries(t.Context(), &allmendev1.ListEntriesRequest{Kind: "member", All: true, PageSize: 2})
	if err != nil || len(list.GetEntries()) != 2 || !list.GetMore() || list.GetRevision() != 2 {
		t.Errorf("%v, %v", list, err)
	}
	rest, err := admin.ListEntries(t.Context(), &allmendev1.ListEntriesRequest{Kind: "member", All: true, PageSize: 2, After: "ben"})
	if err != nil || len(rest.GetEntries()) != 1 || !rest.GetEntries()[0].GetAbsent() || rest.GetMore() {
		t.Errorf("who is to come: %v, %v", rest, err)
	}
	// She is there at the next quarter-hour, on the page, too.
	var before, after struct{ Members []struct{ Id string } }
	get(t, c, "/v1/community", &before)
	w.until(dawn.Add(quarter + minute))
	get(t, c, "/v1/community", &after)
	if len(before.Members) != 2 || len(after.Members) != 3 {
		t.Errorf("%d members, then %d", len(before.Members), len(after.Members))
	}
	// Visitors of a simulated world look, and change nothing.
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+c.Addresses().HTTP+"/v1/register/member/ben/retirement", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusForbidden {
		t.Errorf("a visitor retires Ben: %s", res.Status)
	}
}

// TestAnyDayComesBack: the register of a past time is what it was, as a file that
// could found the community again.
func TestAnyDayComesBack(t *testing.T) {
	dir, w := folder(t, twoHomes), newWorld(t, dawn)
	c := start(t, dir, w)
	admin := administration(t, dir)
	if _, err := admin.ChangeEntry(t.Context(), &allmendev1.ChangeEntryRequest{Kind: "gateway", Id: "gw-a", Fields: []string{"name"}, From: dawn.Add(quarter).String(),
		Entry: &allmendev1.RegisterEntry{Entry: &allmendev1.RegisterEntry_Gateway{Gateway: &allmendev1.GatewayEntry{Id: "gw-a", Name: "Attic"}}}}); err != nil {
		t.Fatal(err)
	}
	names := map[string]energy.Instant{"A": dawn, "Attic": dawn.Add(quarter)}
	for name, at := range names {
		res, err := admin.ExportRegister(t.Context(), &allmendev1.ExportRegisterRequest{On: at.String()})
		if err != nil {
			t.Fatal(err)
		}
		back, err := config.DecodeCommunity("export.yaml", []byte(res.GetYaml()))
		if err != nil || back.Gateways[0].Name != name || len(back.Assets) != 3 {
			t.Errorf("%v: %+v", err, back)
		}
	}
	// What founded the community is not needed any more, nor believed.
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "community.yaml")
	for _, text := range []string{"id: [", strings.Replace(twoHomes, "{id: ben}", "{id: ben, name: Benno}", 1)} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c = start(t, dir, w)
		if m := c.register.Current().Members; len(m) != 2 || m[1].Name != "" {
			t.Errorf("members %v", m)
		}
		if err := c.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	if c.register.At(dawn).Gateways[0].Name != "A" || c.register.Current().Gateways[0].Name != "A" {
		t.Error("a plan is in force")
	}
}

// pools is what the newest settlements of the first intervals say.
func pools(t *testing.T, c *Coordinator, n int) (out []string) {
	t.Helper()
	var got intervals
	get(t, c, "/v1/intervals?pageSize=100", &got)
	for i := range n {
		p := got.Intervals[len(got.Intervals)-1-i].Pools[0]
		out = append(out, p.SupplyMilliwattHours+"/"+p.DemandMilliwattHours)
	}
	return out
}

// TestAnAssetIsEnteredLate: a gateway reads a device that nobody has entered.
// What it says is stored and set aside; once the device is entered, from a time
// that is settled already, it counts from then on. The device goes over to
// another gateway in between: which gateway's word counts goes by the date.
func TestAnAssetIsEnteredLate(t *testing.T) {
	dir, w := folder(t, strings.Replace(twoHomes, "  - {id: ben-meter, kind: meter, site: ben-home, gateway: gw-b}\n", "  - {id: ben-meter, kind: meter, site: ben-home, gateway: gw-a}\n", 1)), newWorld(t, dawn)
	c := start(t, dir, w)
	a, _ := connect(t, c, enrol(t, c, "gw-a"), "s1")
	b, _ := connect(t, c, enrol(t, c, "gw-b"), "s1")
	w.until(dawn.Add(4*quarter + minute))
	// By the register Ben's meter is read by gw-a, which says that he needs nothing.
	still := []*allmendev1.MeterSample{}
	for i := range int64(5) {
		still = append(still, reading("ben-meter", "import", dawn.Add(quarter*energy.Span(i)), 7), reading("ben-meter", "export", dawn.Add(quarter*energy.Span(i)), 0))
	}
	a.meter(1, append(quarterHoursA(dawn, 0, 5), still...)...)
	b.meter(1, quarterHoursB(dawn, 0, 5)...) // set aside: it is not in the register
	a.barrier()
	b.barrier()
	w.settledUntil(c, dawn.Add(4*quarter))
	if got := pools(t, c, 4); got[0] != "600000/0" || got[3] != "600000/0" {
		t.Fatalf("before: %v", got)
	}
	admin := administration(t, dir)
	moved := func(gateway string, n int64) {
		t.Helper()
		_, err := admin.ChangeEntry(t.Context(), &allmendev1.ChangeEntryRequest{
			Kind: "asset", Id: "ben-meter", Fields: []string{"gateway"}, From: dawn.Add(energy.Span(n) * quarter).String(),
			Entry: &allmendev1.RegisterEntry{Entry: &allmendev1.RegisterEntry_Asset{Asset: &allmendev1.AssetEntry{Id: "ben-meter", GatewayId: gateway}}},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	moved("gw-b", 1)
	moved("gw-a", 3)
	want := []string{"600000/0", "600000/250000", "600000/250000", "600000/0"}
	for range 200 {
		if got := pools(t, c, 4); strings.Join(got, " ") == strings.Join(want, " ") {
			break
		}
		w.until(w.clock.Now().Add(minute))
	}
	if got := pools(t, c, 4); strings.Join(got, " ") != strings.Join(want, " ") {
		t.Fatalf("after: %v, expected %v", got, want)
	}
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	leaves := verified(t, dir).Leaves
	c = start(t, dir, w)
	for range 5 {
		w.until(w.clock.Now().Add(minute))
	}
	if got := pools(t, c, 4); strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("after a restart: %v", got)
	}
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	if again := verified(t, dir).Leaves; again != leaves {
		t.Errorf("%d leaves before the restart, %d after", leaves, again)
	}
}

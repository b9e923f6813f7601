// SPDX-License-Identifier: AGPL-3.0-or-later

package coordinator

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/allmende-energy/allmende/charters"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/coordinator/api"
	"github.com/allmende-energy/allmende/coordinator/store"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/internal/adminsocket"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

// template puts another charter into a folder.
func template(t *testing.T, dir, name string, change ...string) {
	t.Helper()
	for _, one := range charters.Templates() {
		if one.Name == name {
			text := strings.NewReplacer(change...).Replace(string(one.YAML))
			if err := os.WriteFile(filepath.Join(dir, "charter.yaml"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("there is no template %s", name)
}

// needsOf is sixHomes with fay and emil in a group.
func needsOf() string {
	return strings.NewReplacer("id: fay, name", "id: fay, groups: [vulnerable], name", "id: emil, name", "id: emil, groups: [vulnerable], name").Replace(sixHomes())
}

// sunnyQuarters are samples of n boundaries: Anna feeds in 600 Wh in each
// interval, the others take 100, 200, … Wh.
func sunnyQuarters(first energy.Instant, n int64) (out []*allmendev1.MeterSample) {
	for i := range n {
		at := first.Add(quarter * energy.Span(i))
		for k, name := range []string{"anna", "ben", "cleo", "dora", "emil", "fay"} {
			imported, exported := 100*int64(k)*i, int64(0)
			if k == 0 {
				exported = 600 * i
			}
			out = append(out, reading(name+"-meter", "import", at, imported), reading(name+"-meter", "export", at, exported))
		}
	}
	return out
}

// settledLane is a lane of six homes under needs-first, with so many intervals settled.
func settledLane(t *testing.T, n int64) (c *Coordinator, dir string, w *world) {
	t.Helper()
	dir, w = folder(t, needsOf()), newWorld(t, dawn)
	template(t, dir, "needs-first")
	c = startInService(t, dir, w)
	d, _ := connect(t, c, enrol(t, c, "gw-a"), "s1")
	w.until(dawn.Add(quarter*energy.Span(n) + minute))
	d.meter(1, sunnyQuarters(dawn, n+1)...)
	d.barrier()
	w.bookedUntil(c, dawn.Add(quarter*energy.Span(n)))
	return c, dir, w
}

// startInService runs the coordinator of a folder in a world that the test moves,
// with accounts: nobody looks around without one.
func startInService(t *testing.T, dir string, w *world) *Coordinator {
	t.Helper()
	cfg, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Start(t.Context(), cfg, w.clock, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// operator calls over the local socket, as commands do.
func (c *Coordinator) operator(t *testing.T) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///coordinator", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return adminsocket.Dial(ctx, c.cfg.Data) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// bookedUntil lets the world run, for no more than some hours, until the ledger has
// settled so far. What is settled is stored beside the world, which does not wait for it.
func (w *world) bookedUntil(c *Coordinator, at energy.Instant) {
	w.t.Helper()
	const minutes, pause, patience = 500, 10 * time.Millisecond, 2 * time.Minute
	for n := range int64(patience / pause) {
		records, err := c.store.SettledPage(w.t.Context(), at, 1)
		if err != nil {
			w.t.Fatal(err)
		}
		if len(records) == 1 && records[0].Settled.Interval.End() == at {
			return
		}
		if n < minutes {
			w.until(w.clock.Now().Add(minute))
		}
		time.Sleep(pause)
	}
	w.t.Fatalf("the ledger has not settled until %v", at)
}

// A member is told why she got what she got; the same by REST, by gRPC and from
// the ledger's file, and nobody is told about her neighbour.
func TestWhyShare(t *testing.T) {
	c, dir, _ := settledLane(t, 2)
	path := fmt.Sprintf("/v1/shares/%s/why?at_unix_ms=%d", "fay", dawn.Add(3*minute))

	why, err := allmendev1.NewSharingServiceClient(c.operator(t)).WhyShare(t.Context(), &allmendev1.WhyShareRequest{MemberId: "fay", AtUnixMs: int64(dawn.Add(3 * minute))})
	if err != nil {
		t.Fatal(err)
	}
	pool := why.GetPools()[0]
	if !pool.GetChecked() || len(pool.GetRounds()) != 2 || pool.GetRounds()[0].GetGotMilliwattHours() != 200_000 || why.GetStartUnixMs() != int64(dawn) {
		t.Errorf("%v", why)
	}
	var sum int64
	for _, r := range pool.GetRounds() {
		sum += r.GetGotMilliwattHours()
		if r.GetSays() == "" || r.GetArithmetic() == "" || r.GetCertificate().GetExact() != true {
			t.Errorf("round %v", r)
		}
	}
	if sum != pool.GetShareMilliwattHours() || sum == 0 || !strings.Contains(pool.GetSum(), "as booked") {
		t.Errorf("the rounds give %d: %v", sum, pool)
	}

	file, err := store.OpenReader(t.Context(), c.cfg.Database.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	records, err := file.SettledPage(t.Context(), dawn.Add(minute), 1)
	if err != nil {
		t.Fatal(err)
	}
	ch, err := file.CharterOf(t.Context(), &records[0].Settled)
	if err != nil {
		t.Fatal(err)
	}
	same, err := api.Why(&api.Account{Settled: api.Settled{Index: records[0].Index, IntervalSettled: records[0].Settled}, Rows: records[0].Rows, Charter: ch}, roll.MemberID("fay"))
	if err != nil || same.String() != why.String() {
		t.Errorf("from the file of %s: %v, %v", dir, same, err)
	}

	stella := c.found(t)
	ada := c.invite(t, stella, "ada.a", "", "treasurer")
	fay := c.invite(t, stella, "fay.f", "fay", "member")
	for _, who := range []*browser{fay, ada} {
		said := who.must(http.MethodGet, path, nil)["pools"].([]any)[0].(map[string]any)
		if said["sum"] != pool.GetSum() || said["checked"] != true || len(said["rounds"].([]any)) != 2 || said["withheld"] != false {
			t.Errorf("REST: %v", said)
		}
	}
	fay.refused(http.StatusNotFound, "whose curves you may see", http.MethodGet, strings.Replace(path, "fay", "ben", 1), nil)
	c.invite(t, stella, "sam.s", "", "steward").refused(http.StatusNotFound, "whose curves you may see", http.MethodGet, path, nil)
	ada.refused(http.StatusNotFound, "has no line", http.MethodGet, strings.Replace(path, "fay", "nobody", 1), nil)
	fay.refused(http.StatusNotFound, "settled", http.MethodGet, fmt.Sprintf("/v1/shares/fay/why?at_unix_ms=%d", dawn.Add(energy.Day)), nil)
	fay.refused(http.StatusBadRequest, "at_unix_ms", http.MethodGet, "/v1/shares/fay/why?at_unix_ms=-1", nil)
	newest := fay.must(http.MethodGet, "/v1/shares/fay/why", nil)
	if newest["startUnixMs"] != fmt.Sprint(int64(dawn.Add(quarter))) {
		t.Errorf("the newest is %v", newest["startUnixMs"])
	}
}

// Of a pool behind which too few stand, a member is told her line, and not the
// certificates, whose totals are the neighbour's.
func TestWhyShareHidesFew(t *testing.T) {
	dir, w := folder(t, twoHomes), newWorld(t, dawn)
	c := startInService(t, dir, w)
	a, _ := connect(t, c, enrol(t, c, "gw-a"), "s1")
	b, _ := connect(t, c, enrol(t, c, "gw-b"), "s1")
	w.until(dawn.Add(quarter + minute))
	a.meter(1, quarterHoursA(dawn, 0, 2)...)
	b.meter(1, quarterHoursB(dawn, 0, 2)...)
	w.bookedUntil(c, dawn.Add(quarter))
	stella := c.found(t)
	ben := c.invite(t, stella, "ben.b", "ben", "member")
	said := ben.must(http.MethodGet, "/v1/shares/ben/why", nil)
	pool := said["pools"].([]any)[0].(map[string]any)
	round := pool["rounds"].([]any)[0].(map[string]any)
	if pool["withheld"] != true || pool["checked"] != true || round["certificate"] != nil || round["arithmetic"] != "" || round["gotMilliwattHours"] != "250000" {
		t.Errorf("%v", said)
	}
	all := c.invite(t, stella, "ada.a", "", "treasurer").must(http.MethodGet, "/v1/shares/ben/why", nil)
	if round := all["pools"].([]any)[0].(map[string]any)["rounds"].([]any)[0].(map[string]any); round["certificate"] == nil || round["arithmetic"] == "" {
		t.Errorf("%v", all)
	}
}

// SPDX-License-Identifier: AGPL-3.0-or-later

package endtoend_test

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/coordinator/store"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/spool"
	"github.com/allmende-energy/allmende/meters"
	"github.com/allmende-energy/allmende/meters/citylearn"
	"github.com/allmende-energy/allmende/scheduler/settlement"
)

// killsEnv asks for more kills than a test has time for: a thousand take about
// a quarter of an hour. docs/benchmarks/faults.md says what came of them.
const killsEnv = "ALLMENDE_TEST_KILLS"

// TestKilledAgainAndAgain kills the coordinator and gateways with SIGKILL at
// random moments, again and again, each time within the three minutes around the
// end of a quarter-hour in which samples are spooled, sent, stored, settled and
// committed. In the end the ledger must have every watt-hour that the homes'
// meters counted, once.
//
// The moments are of the wall clock, so that no two runs are the same; the seed
// says which processes they hit.
func TestKilledAgainAndAgain(t *testing.T) {
	needsHomes(t)
	kills := 20
	if text := os.Getenv(killsEnv); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			t.Fatalf("%s=%q is no number of kills", killsEnv, text)
		}
		kills = n
	}
	rec, err := citylearn.Read(os.DirFS(recordedHomes))
	if err != nil {
		t.Fatal(err)
	}
	rec.Buildings = rec.Buildings[:6]
	n := &killing{neighbourhood: newNeighbourhood(t, rec, raced, ""), rng: rand.New(rand.NewPCG(1, uint64(kills))), dead: map[string]int{}, work: 100 * time.Millisecond}
	n.found()
	for _, gw := range gateways {
		n.sims[gw] = start(t, "sim "+gw, n.bin, "sim", "--site", n.siteFile(gw), "--world", n.world.addr)
		n.writeGateway(gw)
		n.startGateway(gw)
	}
	n.awaitGateways(gateways...)
	end := n.start
	for k := range kills {
		if k > 0 && k%100 == 0 {
			t.Logf("%d kills", k)
		}
		end = end.Add(energy.QuarterHour)
		n.untilInstant(end.Add(-energy.Minute))
		n.killUntil(end.Add(2 * energy.Minute))
	}
	end = end.Add(energy.QuarterHour)
	n.untilInstant(end.Add(3 * energy.Minute))
	n.untilSettledBefore(end)
	for _, gw := range gateways {
		n.gateways[gw].interrupt()
	}
	n.coordinator.interrupt()
	n.sums(rec, end)
	n.samples(n.world.clock.Now())
	t.Logf("killed: %v, %d of %d within about %v of work", n.dead, n.amidst, kills, n.work.Round(time.Millisecond))
}

// killing is a neighbourhood that has a bad time.
type killing struct {
	*neighbourhood
	rng    *rand.Rand
	dead   map[string]int
	work   time.Duration // that the three minutes take where nobody is killed
	amidst int           // killed before they were over
}

// killUntil lets the world go on, kills somebody in the middle of it, and
// brings him back.
func (n *killing) killUntil(at energy.Instant) {
	n.t.Helper()
	victim := "coordinator"
	if k := n.rng.IntN(2 * len(gateways)); k < len(gateways) {
		victim = gateways[k]
	}
	n.dead[victim]++
	p := n.coordinator
	if victim != "coordinator" {
		p = n.gateways[victim]
	}
	// Before, during or just after the work, which takes about so long here.
	begun, wait := time.Now(), time.Duration(n.rng.Int64N(int64(n.work)*5/4))
	killed := make(chan time.Time)
	go func() {
		time.Sleep(wait)
		at := time.Now()
		p.kill()
		killed <- at
	}()
	n.untilInstant(at)
	done := time.Now()
	if (<-killed).Before(done) {
		n.amidst++
	} else {
		n.work = (9*n.work + done.Sub(begun)) / 10
	}
	if victim == "coordinator" {
		n.startCoordinator()
	} else {
		n.startGateway(victim)
	}
	n.awaitGateways(gateways...)
}

// sums compares what the ledger has of each home with what its meters counted.
func (n *killing) sums(rec *citylearn.Recording, end energy.Instant) {
	t := n.t
	t.Helper()
	var report struct {
		Holds bool   `json:"holds"`
		Fault string `json:"fault"`
	}
	if err := json.Unmarshal(run(t, n.bin, "ledger", "verify", n.coordinatorDir(), "--json"), &report); err != nil || !report.Holds {
		n.wrong("the ledger does not hold: %s %v", report.Fault, err)
	}
	db, err := store.OpenReader(t.Context(), filepath.Join(n.coordinatorDir(), "data", "ledger.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // it was only read
	settled, err := db.LatestSettled(t.Context(), n.start)
	if err != nil {
		t.Fatal(err)
	}
	sum := make([]drift, len(rec.Buildings))
	estimated, next := 0, n.start
	for _, s := range settled {
		if s.Settled.Interval.Start != next {
			t.Fatalf("an interval begins at %v, expected %v: one is missing or twice there", s.Settled.Interval.Start, next)
		}
		if next = s.Settled.Interval.End(); next > end {
			break
		}
		if !s.Settled.Complete {
			n.wrong("%v is not complete", s.Settled.Interval)
		}
		if s.Settled.Quality != energy.Good {
			estimated++
		}
		in, err := settlement.FromRows(s.Settled, s.Rows)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range in.Members {
			i := n.homeI[string(m.Member)]
			load, sun := recorded(&rec.Buildings[i], s.Settled.Interval, n.start)
			site := m.Sites[0]
			sum[i].imported += site.Import - max(load-sun, 0)
			sum[i].exported += site.Export - max(sun-load, 0)
			sum[i].production += site.Production - sun
		}
	}
	if next < end {
		t.Fatalf("settled until %v, expected %v", next, end)
	}
	for i, d := range sum {
		for what, off := range map[string]energy.Energy{"import": d.imported, "export": d.exported, "production": d.production} {
			if max(off, -off) >= energy.WattHour {
				n.wrong("%s: %s is off by %v since the beginning", rec.Buildings[i].ID, what, off)
			}
		}
	}
	t.Logf("%d intervals, %d of them estimated at their boundaries; sums are off by %v", len(settled), estimated, sum)
	// Only a gateway that was dead when a quarter-hour ended makes it an estimate,
	// and the next one with it.
	if most := 2 * (n.dead["gw-1"] + n.dead["gw-2"] + n.dead["gw-3"]); estimated > most {
		n.wrong("%d intervals are estimated, %d could be", estimated, most)
	}
}

// samples compares what each gateway has spooled with what came of it into the
// inbox: all of it, once, in order, but for what it took when it was stopped.
func (n *killing) samples(stopped energy.Instant) {
	t := n.t
	t.Helper()
	db, err := store.OpenReader(t.Context(), filepath.Join(n.coordinatorDir(), "data", "ledger.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // it was only read
	inbox := map[string][]meters.Sample{}
	err = db.InboxSince(t.Context(), n.start.Add(-energy.Day), func(gw roll.GatewayID, s meters.Sample) error {
		inbox[string(gw)] = append(inbox[string(gw)], s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, gw := range gateways {
		s, err := spool.Open(filepath.Join(n.gatewayDir(gw), "spool"), spool.Options{})
		if err != nil {
			t.Fatal(err)
		}
		id, last, _ := s.Position()
		var spooled []meters.Sample
		for uint64(len(spooled)) < last {
			more, err := s.Read(id, uint64(len(spooled))+1, int(last))
			if err != nil || len(more) == 0 {
				t.Fatalf("%s: %d samples of %d, %v", gw, len(spooled), last, err)
			}
			spooled = append(spooled, more...)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		// What it took when it was told to stop may wait for its next start.
		have := inbox[gw]
		waiting := spooled[min(len(have), len(spooled)):]
		if !slices.Equal(have, spooled[:len(spooled)-len(waiting)]) ||
			slices.ContainsFunc(waiting, func(m meters.Sample) bool { return m.At < stopped.Add(-2*energy.Minute) }) {
			n.wrong("%s spooled %d samples, in the inbox are %d, and they differ", gw, len(spooled), len(have))
		}
		t.Logf("%s: %d samples", gw, len(spooled))
	}
}

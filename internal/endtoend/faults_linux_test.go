// SPDX-License-Identifier: AGPL-3.0-or-later

package endtoend_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/meters/citylearn"
)

// TestDisksThatFail lets the disks fail under the running programs: those of the
// coordinator, which stops when a sync fails and waits while its disk is full,
// and that of a gateway, which goes on in another file. In the end the ledger
// must have every watt-hour, once, and the inbox every sample.
func TestDisksThatFail(t *testing.T) {
	needsHomes(t)
	if out, err := exec.Command("strace", "-f", "-o", os.DevNull, "-e", "inject=fsync:error=EIO", "true").CombinedOutput(); err != nil {
		t.Skipf("strace cannot trace here: %v %s", err, out)
	}
	rec, err := citylearn.Read(os.DirFS(recordedHomes))
	if err != nil {
		t.Fatal(err)
	}
	rec.Buildings = rec.Buildings[:6]
	n := &killing{neighbourhood: newNeighbourhood(t, rec, plain, ""), dead: map[string]int{"gw-2": 1}}
	n.found()
	for _, gw := range gateways {
		n.sims[gw] = start(t, "sim "+gw, n.bin, "sim", "--site", n.siteFile(gw), "--world", n.world.addr)
		n.writeGateway(gw)
		n.startGateway(gw)
	}
	n.awaitGateways(gateways...)
	ledger := filepath.Join(n.coordinatorDir(), "data", "ledger.db")
	serve := []string{"serve", "--dir", n.coordinatorDir(), "--world", n.world.addr}

	// A sync fails. The coordinator stops by itself and says why; the gateways go
	// on and keep what they measure. strace counts the calls of each thread: to
	// start and to welcome the gateways takes a dozen together, two hours of
	// minutes take hundreds.
	n.until("1:10")
	n.coordinator.interrupt()
	n.coordinator = n.startFailing("coordinator", "fsync,fdatasync", "EIO", "25+", []string{ledger + "-wal"}, serve...)
	n.coordinator.says(`page and REST`)
	n.awaitGateways(gateways...)
	n.until("3:05")
	select {
	case <-n.coordinator.done:
		if code := n.coordinator.cmd.ProcessState.ExitCode(); code == 0 || !strings.Contains(n.coordinator.out.String(), "did not confirm") {
			t.Errorf("after a failed sync the coordinator ended with status %d:\n%s", code, tail(n.coordinator.out.String(), 2000))
		}
	default:
		t.Error("the coordinator goes on after a failed sync")
		n.coordinator.kill()
	}

	// The disk is full for a while. The coordinator says so, and goes on by itself
	// when there is room. A dozen calls for each thread end soon, whichever threads
	// have to do with it.
	n.coordinator = n.startFailing("coordinator", "pwrite64", "ENOSPC", "80..92", []string{ledger, ledger + "-wal"}, serve...)
	n.coordinator.says(`page and REST`)
	n.awaitGateways(gateways...)
	for at := n.instant("3:20"); !strings.Contains(n.coordinator.out.String(), "no space left"); at = at.Add(energy.QuarterHour) {
		if at > n.instant("30:00") {
			t.Fatal("the disk was never full")
		}
		n.untilInstant(at)
	}
	full := n.world.clock.Now()
	n.coordinator.says(`works again`)
	n.awaitGateways(gateways...)
	n.untilInstant(full.Add(energy.Hour))
	n.untilSettledBefore(full)
	n.coordinator.kill() // in order to stop in order it would have to write
	n.startCoordinator()
	n.awaitGateways(gateways...)

	// A gateway's disk fails at some syncs. Samples wait in memory, go into another
	// file, and none is missing.
	n.gateways["gw-2"].interrupt()
	n.gateways["gw-2"] = n.startFailing("gw-2", "fsync", "EIO", "3..9+2", nil, "gateway", "run", "--dir", n.gatewayDir("gw-2"), "--world", n.world.addr)
	n.awaitGateways("gw-2")
	from := n.world.clock.Now()
	n.untilInstant(from.Add(90 * energy.Minute))
	said := n.gateways["gw-2"].out
	for strings.LastIndex(said.String(), "wait in memory") > strings.LastIndex(said.String(), "spooled again") {
		n.untilInstant(n.world.clock.Now().Add(energy.Minute))
		if n.world.clock.Now() > from.Add(energy.Day) {
			t.Fatal("its samples wait in memory for good")
		}
	}
	if !strings.Contains(said.String(), "wait in memory") {
		t.Error("no sync of its spool failed")
	}
	n.gateways["gw-2"].kill()
	n.startGateway("gw-2")
	n.awaitGateways("gw-2")

	end := energy.IntervalAt(n.world.clock.Now(), energy.QuarterHour).End()
	n.untilInstant(end.Add(3 * energy.Minute))
	n.untilSettledBefore(end)
	for _, gw := range gateways {
		n.gateways[gw].interrupt()
	}
	n.coordinator.interrupt()
	n.sums(rec, end)
	n.samples(n.world.clock.Now())
}

// startFailing starts a program under strace, which lets calls on the paths, or
// all calls, fail as when says.
func (n *killing) startFailing(name, calls, failure, when string, paths []string, args ...string) *process {
	n.t.Helper()
	trace := filepath.Join(n.t.TempDir(), "trace")
	strace := []string{
		"-f", "--seccomp-bpf", "-qqq", "-y", "-o", trace, "-e", "signal=none", "-e", "trace=" + calls,
		"-e", fmt.Sprintf("inject=%s:error=%s:when=%s", calls, failure, when),
	}
	for _, p := range paths {
		strace = append(strace, "-P", p)
	}
	p := start(n.t, name, "strace", append(append(strace, n.bin), args...)...)
	p.inner = func() (pid int) {
		await(n.t, "strace to start "+name, func() bool {
			b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", p.cmd.Process.Pid, p.cmd.Process.Pid))
			if err != nil {
				return false
			}
			pid, err = strconv.Atoi(strings.TrimSpace(string(b)))
			return err == nil
		})
		return pid
	}
	return p
}

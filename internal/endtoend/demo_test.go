// SPDX-License-Identifier: AGPL-3.0-or-later

package endtoend_test

import (
	"context"
	"encoding/json"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"

	"github.com/allmende-energy/allmende/energy"
)

// TestDemo is what a newcomer does first: start the demo, look at it, stop it,
// verify its ledger, and start it again where it stopped.
func TestDemo(t *testing.T) {
	bin, dir := build(t, raced), filepath.Join(t.TempDir(), "demo")
	first := startDemo(t, bin, dir)
	before := first.awaitSettled(2)
	first.checkGRPC()
	first.interrupt()
	size := verifyDemo(t, bin, dir)

	second := startDemo(t, bin, dir)
	if at := energy.Instant(second.live().AtMS); at < before {
		t.Errorf("world time moved back from %v to %v", before, at)
	}
	second.awaitSettled(int(size) + 1)
	second.interrupt()
	if again := verifyDemo(t, bin, dir); again <= size {
		t.Errorf("the ledger has %d leaves after the second run, %d after the first", again, size)
	}
}

func TestDemoRefusesWhatItCannotDo(t *testing.T) {
	bin := build(t, plain)
	taken := startDemo(t, bin, filepath.Join(t.TempDir(), "demo"))
	dir := filepath.Join(t.TempDir(), "full")
	write(t, filepath.Join(dir, "thesis.txt"), "do not touch")
	for name, c := range map[string]struct{ args, says []string }{
		"a port in use":          {[]string{"--http", taken.http}, []string{taken.http, "--http"}},
		"a folder of other work": {[]string{"--dir", dir, "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--gateways", "127.0.0.1:0"}, []string{dir, "--dir"}},
		"too fast":               {[]string{"--speed", "1e9"}, []string{"--speed", "3600"}},
		"no address":             {[]string{"--grpc", "nine thousand"}, []string{"--grpc", "host and port"}},
	} {
		p := start(t, name, bin, append([]string{"demo"}, c.args...)...)
		await(t, name+" to be refused", func() bool {
			select {
			case <-p.done:
				return true
			default:
				return false
			}
		})
		if p.cmd.ProcessState.ExitCode() == 0 {
			t.Errorf("%s was accepted", name)
		}
		for _, word := range c.says {
			if !strings.Contains(p.out.String(), word) {
				t.Errorf("%s: the refusal does not name %q:\n%s", name, word, p.out.String())
			}
		}
	}
	taken.interrupt()
}

// aDemo is a running demo.
type aDemo struct {
	*process
	http, grpc string
}

func startDemo(t *testing.T, bin, dir string) aDemo {
	t.Helper()
	p := start(t, "demo", bin, "demo", "--dir", dir, "--speed", "3600", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--gateways", "127.0.0.1:0")
	p.says(`Stop with Ctrl-C`)
	return aDemo{p, p.says(`Look here: +http://(\S+)`)[0][1], p.says(`gRPC: +(\S+)`)[0][1]}
}

type liveAnswer struct {
	AtMS       int64 `json:"atUnixMs,string"`
	LedgerSize int   `json:"ledgerSize,string"`
	Members    []struct {
		ID string `json:"memberId"`
	} `json:"members"`
}

func (d aDemo) live() (l liveAnswer) {
	d.t.Helper()
	resp, err := http.Get("http://" + d.http + "/v1/live")
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	if err := json.NewDecoder(resp.Body).Decode(&l); err != nil {
		d.t.Fatal(err)
	}
	return l
}

// awaitSettled waits until the ledger has more leaves than n, and returns world time.
func (d aDemo) awaitSettled(n int) energy.Instant {
	d.t.Helper()
	var l liveAnswer
	d.await("settle", func() bool {
		l = d.live()
		return l.LedgerSize > n
	})
	if len(l.Members) != 13 {
		d.t.Errorf("%d members on the page", len(l.Members))
	}
	return energy.Instant(l.AtMS)
}

// checkGRPC asks reflection which services there are, and health how they are.
func (d aDemo) checkGRPC() {
	d.t.Helper()
	conn, err := grpc.NewClient(d.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		d.t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // the test is over
	ctx, cancel := context.WithTimeout(d.t.Context(), patience)
	defer cancel()
	stream, err := reflectionpb.NewServerReflectionClient(conn).ServerReflectionInfo(ctx)
	if err != nil {
		d.t.Fatal(err)
	}
	if err := stream.Send(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}}); err != nil {
		d.t.Fatal(err)
	}
	answer, err := stream.Recv()
	if err != nil {
		d.t.Fatal(err)
	}
	var names []string
	for _, s := range answer.GetListServicesResponse().GetService() {
		names = append(names, s.GetName())
	}
	if !slices.Contains(names, "allmende.v1.CommunityService") {
		d.t.Errorf("reflection lists %v", names)
	}
	health, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{})
	if err != nil || health.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		d.t.Errorf("health: %v, %v", health, err)
	}
}

func verifyDemo(t *testing.T, bin, dir string) (leaves int64) {
	t.Helper()
	var report struct {
		Holds     bool  `json:"holds"`
		Simulated bool  `json:"simulated"`
		Leaves    int64 `json:"leaves"`
	}
	if err := json.Unmarshal(run(t, bin, "ledger", "verify", dir, "--json"), &report); err != nil {
		t.Fatal(err)
	}
	if !report.Holds || !report.Simulated {
		t.Errorf("verification: %+v", report)
	}
	return report.Leaves
}

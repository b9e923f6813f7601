// SPDX-License-Identifier: AGPL-3.0-or-later

package uplink_test

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/spool"
	"github.com/allmende-energy/allmende/gateway/uplink"
	"github.com/allmende-energy/allmende/gateway/uplink/uplinktest"
)

// renewEnv tells a child process where to renew without end: address and folder.
const renewEnv = "ALLMENDE_TEST_RENEW"

// TestMain is a gateway that renews without end, or the tests.
func TestMain(m *testing.M) {
	if where := os.Getenv(renewEnv); where != "" {
		renewWithoutEnd(where)
	}
	os.Exit(m.Run())
}

func renewWithoutEnd(where string) {
	address, dir, _ := strings.Cut(where, " ")
	keeper, err := uplink.OpenKeeper(filepath.Join(dir, "identity"))
	if err != nil {
		slog.Error("child", "error", err)
		os.Exit(3)
	}
	s, err := spool.Open(filepath.Join(dir, "spool"), spool.Options{})
	if err != nil {
		slog.Error("child", "error", err)
		os.Exit(4)
	}
	uplink.New(uplink.Config{
		Address: address, Identity: keeper, Source: s, Commands: &commands{}, Status: func() uplink.Status { return uplink.Status{} },
		Now: func() energy.Instant { return 0 }, Log: slog.New(slog.DiscardHandler),
		Bounds: uplink.Bounds{MinBackoff: time.Millisecond, MaxBackoff: time.Millisecond},
	}).Run(context.Background())
}

// TestKilledWhileRenewing: whenever the process dies, there is an identity on
// the disk whose key and certificate belong together, and the next process goes
// on with it.
func TestKilledWhileRenewing(t *testing.T) {
	ctx := within(t)
	c := uplinktest.New(t)
	c.Life, c.RenewIn, c.KeepRenewing = 40*time.Second, time.Millisecond, true // long enough for a process to start on a busy machine
	c.Start(t)
	dir := t.TempDir()
	identity := filepath.Join(dir, "identity")
	c.Identity(t, "gw-1", identity)
	const kills = 10
	serials := map[string]bool{}
	for n := range kills {
		streams := len(c.Wait(ctx, t, "", func(uplinktest.View) bool { return true }).Hello)
		child := exec.Command(os.Args[0]) //nolint:gosec // this test itself
		child.Env = append(os.Environ(), renewEnv+"="+c.Address+" "+dir)
		child.Stderr = os.Stderr
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		c.Wait(ctx, t, "a renewal", func(v uplinktest.View) bool { return len(v.Hello) > streams+1 })
		time.Sleep(time.Duration(rand.IntN(int(60 * time.Millisecond))))
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		child.Wait() //nolint:errcheck // it was killed
		id, err := uplink.LoadIdentity(identity)
		if err != nil {
			t.Fatalf("after kill %d: %v", n, err)
		}
		serials[id.Serial] = true
	}
	if len(serials) < kills {
		t.Errorf("%d identities after %d kills", len(serials), kills)
	}
}

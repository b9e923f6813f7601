// SPDX-License-Identifier: AGPL-3.0-or-later

package coordinator

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/allmende-energy/allmende/coordinator/authority"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/guard"
	"github.com/allmende-energy/allmende/gateway/spool"
	"github.com/allmende-energy/allmende/gateway/uplink"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

// edge is a gateway's real link and spool, without devices.
type edge struct {
	dir   string // of its identity
	link  *uplink.Link
	spool *spool.Spool
	log   *syncBuffer
}

type noCommands struct{}

func (noCommands) Fence(uint64)               {}
func (noCommands) Setpoints([]guard.Setpoint) {}

// enrolEdge enrols a gateway by its own means.
func enrolEdge(t *testing.T, c *Coordinator, dir string) {
	t.Helper()
	text, err := c.CreateToken(t.Context(), "gw-a")
	if err != nil {
		t.Fatal(err)
	}
	token, err := uplink.ParseToken(text)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := uplink.Enrol(t.Context(), token, dir); err != nil {
		t.Fatal(err)
	}
}

// runEdge runs the link of an enrolled gateway until the test ends.
func runEdge(t *testing.T, address, dir string, bounds uplink.Bounds) *edge {
	t.Helper()
	keeper, err := uplink.OpenKeeper(dir)
	if err != nil {
		t.Fatal(err)
	}
	s, err := spool.Open(t.TempDir(), spool.Options{})
	if err != nil {
		t.Fatal(err)
	}
	e := &edge{dir: dir, spool: s, log: &syncBuffer{}}
	bounds.MinBackoff, bounds.MaxBackoff = time.Millisecond, 100*time.Millisecond
	e.link = uplink.New(uplink.Config{
		Address: address, Identity: keeper, Source: s, Commands: noCommands{}, Status: func() uplink.Status { return uplink.Status{} },
		Now: func() energy.Instant { return dawn }, Log: slog.New(slog.NewTextHandler(e.log, nil)), Bounds: bounds,
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); e.link.Run(ctx) }()
	t.Cleanup(sync.OnceFunc(func() {
		cancel()
		<-done
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}))
	return e
}

// until waits for something that happens elsewhere.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	const patience = 5 * time.Minute
	for begun := time.Now(); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Since(begun) > patience {
			t.Fatalf("%s: never came", what)
		}
	}
}

func (e *edge) said(what string) int { return strings.Count(e.log.String(), what) }

// TestALinkComesBackFromRevocation: it says what to do, once, asks seldom, and
// goes on by itself when somebody has enrolled the gateway anew.
func TestALinkComesBackFromRevocation(t *testing.T) {
	w := newWorld(t, dawn)
	c := start(t, folder(t, twoHomes), w)
	dir := filepath.Join(t.TempDir(), "identity")
	enrolEdge(t, c, dir)
	e := runEdge(t, c.Addresses().Gateways, dir, uplink.Bounds{})
	until(t, "a stream", e.link.Connected)
	begun := time.Now()
	if _, err := operator(t, c).RevokeGateway(t.Context(), &allmendev1.RevokeGatewayRequest{GatewayId: "gw-a", Reason: "stolen"}); err != nil {
		t.Fatal(err)
	}
	until(t, "the end of the stream", func() bool { return !e.link.Connected() })
	if took := time.Since(begun); took > within {
		t.Errorf("it took %s", took)
	}
	until(t, "a word about it", func() bool { return e.said("does not let this gateway in") == 1 })
	for _, word := range []string{"stolen", "allmende gateway token gw-a", "level=ERROR"} {
		if e.said(word) == 0 {
			t.Errorf("the log does not say %q:\n%s", word, e.log)
		}
	}
	enrolEdge(t, c, dir) // as `allmende gateway enrol` does, beside the running gateway
	until(t, "a stream again", e.link.Connected)
	if n := e.said("does not let this gateway in"); n != 1 || e.said("enrolled anew") != 1 {
		t.Errorf("said %d times:\n%s", n, e.log)
	}
}

// TestALinkComesBackFromTheCellar: four months without power.
func TestALinkComesBackFromTheCellar(t *testing.T) {
	w, wall := newWorld(t, dawn), &wallClock{}
	c := startAt(t, folder(t, twoHomes), w, wall)
	dir := filepath.Join(t.TempDir(), "identity")
	enrolEdge(t, c, dir)
	wall.move(120 * day)
	e := runEdge(t, c.Addresses().Gateways, dir, uplink.Bounds{})
	until(t, "a stream", e.link.Connected)
	if e.said("certificate renewed") != 1 {
		t.Errorf("the log:\n%s", e.log)
	}
	standing, err := uplink.Check(t.Context(), c.Addresses().Gateways, mustLoad(t, dir), "")
	if err != nil || standing.Gateway != "gw-a" || standing.Ends.Sub(standing.Now) < 29*day || standing.Renew.Sub(standing.Now) > 20*day {
		t.Errorf("%+v %v", standing, err)
	}
}

// TestALostAuthority: the coordinator was set up anew. The gateway says so, sends
// nothing to the stranger, and goes on with its spool once it is enrolled there.
func TestALostAuthority(t *testing.T) {
	home, w := folder(t, twoHomes), newWorld(t, dawn)
	c := start(t, home, w)
	dir := filepath.Join(t.TempDir(), "identity")
	enrolEdge(t, c, dir)
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(c.cfg.Authority); err != nil {
		t.Fatal(err)
	}
	if err := authority.Create(c.cfg.Authority, "sunny-lane", time.Now()); err != nil {
		t.Fatal(err)
	}
	c = start(t, home, w)
	e := runEdge(t, c.Addresses().Gateways, dir, uplink.Bounds{})
	until(t, "a word about it", func() bool { return e.said("enrol this gateway anew with a token from it") == 1 })
	if e.link.Connected() {
		t.Error("connected to a stranger")
	}
	enrolEdge(t, c, dir)
	until(t, "a stream", e.link.Connected)
}

// TestALinkRenews with certificates that live for seconds, over and over, and
// nothing that is spooled is lost or counted twice.
func TestALinkRenews(t *testing.T) {
	dir, w := folder(t, twoHomes), newWorld(t, dawn)
	cfg, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Simulated, cfg.Certificates.Life = true, 3*time.Second
	c, err := Start(t.Context(), cfg, w.clock, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Stop() })
	identity := filepath.Join(t.TempDir(), "identity")
	enrolEdge(t, c, identity)
	e := runEdge(t, c.Addresses().Gateways, identity, uplink.Bounds{})
	until(t, "three renewals", func() bool { return e.said("certificate renewed") >= 3 })
	until(t, "a stream", e.link.Connected)
	if list := certificates(t, c, "gw-a"); len(list) < 4 || list[0].GetOrigin() != "renewed" {
		t.Errorf("%v", list)
	}
}

// TestALostAnswerCostsNoToken: the token is spent, the answer never came, and
// the same folder gets its certificate with the same token.
func TestALostAnswerCostsNoToken(t *testing.T) {
	w, wall := newWorld(t, dawn), &wallClock{}
	c := startAt(t, folder(t, twoHomes), w, wall)
	text, err := c.CreateToken(t.Context(), "gw-a")
	if err != nil {
		t.Fatal(err)
	}
	token, err := uplink.ParseToken(text)
	if err != nil {
		t.Fatal(err)
	}
	var mended atomic.Bool
	wire := newWire(t, c.Addresses().Gateways, func() bool {
		made, err := c.store.Certificates(context.Background(), "gw-a")
		return err == nil && len(made) > 0 && !mended.Load()
	})
	token.Address = wire.address()
	dir := filepath.Join(t.TempDir(), "identity")
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() {
		_, err := uplink.Enrol(ctx, token, dir)
		failed <- err
	}()
	until(t, "the token's use", func() bool { return len(certificates(t, c, "gw-a")) == 1 })
	cancel()
	if err := <-failed; err == nil {
		t.Fatal("it got an answer")
	}
	mended.Store(true)
	if _, err := uplink.Enrol(t.Context(), token, t.TempDir()); err == nil || !strings.Contains(err.Error(), "ask for a new one") {
		t.Errorf("another folder, another key: %v", err)
	}
	if _, err := uplink.Enrol(t.Context(), token, dir); err != nil {
		t.Fatal(err)
	}
	if list := certificates(t, c, "gw-a"); len(list) != 1 || list[0].GetSerial() != mustLoad(t, dir).Serial {
		t.Errorf("%v", list)
	}
	wall.move(11 * time.Minute)
	if _, err := uplink.Enrol(t.Context(), token, dir); err == nil {
		t.Error("the token outlived its ten minutes")
	}
	if _, err := uplink.LoadIdentity(dir); errors.Is(err, uplink.ErrNotEnrolled) {
		t.Errorf("a refusal destroyed the identity: %v", err)
	}
}

func mustLoad(t *testing.T, dir string) uplink.Identity {
	t.Helper()
	id, err := uplink.LoadIdentity(dir)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

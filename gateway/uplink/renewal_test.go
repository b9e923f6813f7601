// SPDX-License-Identifier: AGPL-3.0-or-later

package uplink_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/spool"
	"github.com/allmende-energy/allmende/gateway/uplink"
	"github.com/allmende-energy/allmende/gateway/uplink/uplinktest"
)

// gatewayOf runs a link with the identity in dir until the test ends.
func gatewayOf(t *testing.T, c *uplinktest.Coordinator, dir string, log *slog.Logger) (stop func()) {
	t.Helper()
	keeper, err := uplink.OpenKeeper(dir)
	if err != nil {
		t.Fatal(err)
	}
	s, err := spool.Open(t.TempDir(), spool.Options{})
	if err != nil {
		t.Fatal(err)
	}
	link := uplink.New(uplink.Config{
		Address: c.Address, Identity: keeper, Source: s, Commands: &commands{}, Status: func() uplink.Status { return uplink.Status{} },
		Now: func() energy.Instant { return 0 }, Log: log,
		Bounds: uplink.Bounds{MinBackoff: time.Millisecond, MaxBackoff: 20 * time.Millisecond},
	})
	return running(t, link, s)
}

// TestRenewal: the gateway renews when the coordinator says so, with a fresh
// key, comes back with the new certificate, and repeats a request whose answer
// was lost with the key that it made for it.
func TestRenewal(t *testing.T) {
	ctx := within(t)
	c := uplinktest.New(t)
	c.Life, c.RenewIn = 40*time.Second, time.Millisecond
	c.Start(t)
	c.LoseRenewals(1)
	dir := t.TempDir()
	c.Identity(t, "gw-1", dir)
	before := identityIn(t, dir)
	gatewayOf(t, c, dir, slog.New(slog.DiscardHandler))
	v := c.Wait(ctx, t, "a second stream", func(v uplinktest.View) bool { return len(v.Hello) == 2 && v.Streams == 1 })
	if len(v.Renewals) != 2 || v.Renewals[0] != v.Renewals[1] {
		t.Errorf("asked with the keys %v", v.Renewals)
	}
	after := identityIn(t, dir)
	if after.Serial == before.Serial || after.Gateway != "gw-1" || !after.NotAfter.After(before.NotAfter.Add(-time.Second)) {
		t.Errorf("from %+v to %+v", before, after)
	}
	if names := namesIn(t, dir); !slices.Equal(names, []string{uplink.IdentityFile}) {
		t.Errorf("left behind: %v", names)
	}
}

// TestAKeyIsUsedOnce: the process died after the new identity was in place and
// before the waiting key was removed. Next time it makes another key.
func TestAKeyIsUsedOnce(t *testing.T) {
	ctx := within(t)
	c := uplinktest.New(t)
	c.Life, c.RenewIn = 40*time.Second, time.Millisecond
	c.Start(t)
	dir := t.TempDir()
	c.Identity(t, "gw-1", dir)
	file, err := os.ReadFile(filepath.Join(dir, uplink.IdentityFile))
	if err != nil {
		t.Fatal(err)
	}
	key, _, _ := strings.Cut(string(file), "-----BEGIN CERTIFICATE")
	if err := os.WriteFile(filepath.Join(dir, "renew.key"), []byte(key), 0o600); err != nil {
		t.Fatal(err)
	}
	gatewayOf(t, c, dir, slog.New(slog.DiscardHandler))
	c.Wait(ctx, t, "a second stream", func(v uplinktest.View) bool { return len(v.Hello) == 2 })
	renewed, err := os.ReadFile(filepath.Join(dir, uplink.IdentityFile))
	if err != nil || strings.HasPrefix(string(renewed), key) {
		t.Errorf("the old key is used again, %v", err)
	}
}

// TestAFullDiskKeepsTheOldIdentity: what can't be stored isn't used.
func TestAFullDiskKeepsTheOldIdentity(t *testing.T) {
	ctx := within(t)
	c := uplinktest.New(t)
	c.Life, c.RenewIn = 40*time.Second, time.Millisecond
	c.Start(t)
	dir := t.TempDir()
	c.Identity(t, "gw-1", dir)
	before := identityIn(t, dir)
	keeper, err := uplink.OpenKeeper(dir)
	if err != nil {
		t.Fatal(err)
	}
	// A folder in the key's place can't be written, for root neither.
	if err := os.MkdirAll(filepath.Join(dir, "renew.key", "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	logged := make(chan string, 1)
	s, err := spool.Open(t.TempDir(), spool.Options{})
	if err != nil {
		t.Fatal(err)
	}
	link := uplink.New(uplink.Config{
		Address: c.Address, Identity: keeper, Source: s, Commands: &commands{}, Status: func() uplink.Status { return uplink.Status{} },
		Now: func() energy.Instant { return 0 }, Log: slog.New(warnings{logged}),
	})
	running(t, link, s)
	select {
	case text := <-logged:
		if !strings.Contains(text, "could not be renewed") {
			t.Errorf("said %q", text)
		}
	case <-ctx.Done():
		t.Fatal("nothing was said")
	}
	if v := c.Wait(ctx, t, "the stream", func(v uplinktest.View) bool { return v.Streams == 1 }); len(v.Renewals) != 0 {
		t.Error("it asked with a key that it does not hold")
	}
	if got := identityIn(t, dir); got.Serial != before.Serial {
		t.Errorf("%+v", got)
	}
}

// TestAClockThatIsBehind: for a gateway whose clock says 1970, all certificates
// begin in the future.
func TestAClockThatIsBehind(t *testing.T) {
	ctx := within(t)
	c := uplinktest.NewAhead(t, 56*365*24*time.Hour)
	c.Life, c.RenewIn = 40*time.Second, time.Millisecond
	c.Start(t)
	dir := filepath.Join(t.TempDir(), "identity")
	token, err := uplink.ParseToken(c.Token(t, "gw-1", "once"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := uplink.Enrol(ctx, token, dir); err != nil {
		t.Fatal(err)
	}
	before := identityIn(t, dir)
	gatewayOf(t, c, dir, slog.New(slog.DiscardHandler))
	c.Wait(ctx, t, "a second stream", func(v uplinktest.View) bool { return len(v.Hello) == 2 && v.Streams == 1 })
	if after := identityIn(t, dir); after.Serial == before.Serial {
		t.Error("not renewed")
	}
}

// TestAClockThatIsAhead: an ended certificate of the coordinator is not taken;
// that it may be the clock is said.
func TestAClockThatIsAhead(t *testing.T) {
	ctx := within(t)
	c := uplinktest.NewAhead(t, -365*24*time.Hour)
	c.Start(t)
	dir := t.TempDir()
	c.Identity(t, "gw-1", dir)
	logged := make(chan string, 1)
	gatewayOf(t, c, dir, slog.New(warnings{logged}))
	select {
	case text := <-logged:
		if !strings.Contains(text, "clock is ahead, set it (timedatectl)") {
			t.Errorf("said %q", text)
		}
	case <-ctx.Done():
		t.Fatal("nothing was said")
	}
}

func identityIn(t *testing.T, dir string) uplink.Identity {
	t.Helper()
	id, err := uplink.LoadIdentity(dir)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// running runs a link until the test ends, or stop is called.
func running(t *testing.T, link *uplink.Link, s *spool.Spool) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); link.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		<-done
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// warnings hands on the first message that is a warning or worse, with what
// belongs to it.
type warnings struct{ to chan string }

func (w warnings) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelWarn }
func (w warnings) Handle(_ context.Context, r slog.Record) error {
	text := r.Message
	r.Attrs(func(a slog.Attr) bool {
		text += " " + a.String()
		return true
	})
	select {
	case w.to <- text:
	default:
	}
	return nil
}
func (w warnings) WithAttrs([]slog.Attr) slog.Handler { return w }
func (w warnings) WithGroup(string) slog.Handler      { return w }

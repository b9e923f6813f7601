// SPDX-License-Identifier: AGPL-3.0-or-later

package uplink_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/allmende-energy/allmende/gateway/uplink"
	"github.com/allmende-energy/allmende/gateway/uplink/uplinktest"
)

func TestEnrol(t *testing.T) {
	ctx := within(t)
	c := uplinktest.New(t)
	c.Start(t)
	t.Cleanup(c.Kill)
	text := c.Token(t, "gw-7", "once")
	token, err := uplink.ParseToken("  " + text + "\n")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "identity")
	got, err := uplink.Enrol(ctx, token, dir)
	if err != nil {
		t.Fatal(err)
	}
	if got.Gateway != "gw-7" || got.Community != uplinktest.Community || got.Address != c.Address {
		t.Errorf("enrolled %+v", got)
	}
	identity, err := uplink.LoadIdentity(uplink.PathsIn(dir), time.Now())
	if err != nil || identity.Gateway != "gw-7" {
		t.Fatalf("identity %+v, %v", identity, err)
	}
	if info, err := os.Stat(filepath.Join(dir, uplink.KeyFile)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key's mode: %v, %v", info.Mode(), err)
	}
	if _, err := uplink.Enrol(ctx, token, dir); !errors.Is(err, uplink.ErrEnrolled) {
		t.Errorf("a second enrolment: %v", err)
	}
	if _, err := uplink.Enrol(ctx, token, t.TempDir()); err == nil || !strings.Contains(err.Error(), "ask for a new one") {
		t.Errorf("a used token: %v", err)
	}
	if _, err := uplink.LoadIdentity(uplink.PathsIn(dir), identity.NotAfter.Add(time.Second)); !errors.Is(err, uplink.ErrNotEnrolled) {
		t.Errorf("an expired certificate: %v", err)
	}
	if _, err := uplink.LoadIdentity(uplink.PathsIn(t.TempDir()), time.Now()); !errors.Is(err, uplink.ErrNotEnrolled) {
		t.Errorf("no identity: %v", err)
	}
}

// TestEnrolRefusesAStranger: the token's fingerprint is another authority's, so
// the secret is never sent.
func TestEnrolRefusesAStranger(t *testing.T) {
	ctx := within(t)
	ours, theirs := uplinktest.New(t), uplinktest.New(t)
	theirs.Start(t)
	t.Cleanup(theirs.Kill)
	ours.Address = theirs.Address
	token, err := uplink.ParseToken(ours.Token(t, "gw-1", "secret"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if _, err := uplink.Enrol(ctx, token, dir); err == nil || !strings.Contains(err.Error(), "authority") {
		t.Fatalf("enrolled with a stranger: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, uplink.CertificateFile)); err == nil {
		t.Error("a certificate was stored")
	}
}

func FuzzParseToken(f *testing.F) {
	f.Add("alm1.eyJhZGRyIjoiMTI3LjAuMC4xOjk0NDMiLCJpZCI6Imd3LTEiLCJzZWNyZXQiOiJzIiwiY2EiOiIwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwIn0")
	f.Add("alm1.")
	f.Add("alm1.e30=")
	f.Fuzz(func(t *testing.T, text string) {
		token, err := uplink.ParseToken(text)
		if err != nil && !errors.Is(err, uplink.ErrToken) {
			t.Fatalf("%v", err)
		}
		if err == nil && (token.Gateway == "" || token.Secret == "" || len(token.Authority) != 64) {
			t.Fatalf("an incomplete token was taken: %+v", token)
		}
	})
}

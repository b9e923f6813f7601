// SPDX-License-Identifier: AGPL-3.0-or-later

package uplink_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
	identity, err := uplink.LoadIdentity(dir)
	if err != nil || identity.Gateway != "gw-7" {
		t.Fatalf("identity %+v, %v", identity, err)
	}
	if info, err := os.Stat(filepath.Join(dir, uplink.IdentityFile)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the identity's mode: %v, %v", info.Mode(), err)
	}
	if names := namesIn(t, dir); len(names) != 1 {
		t.Errorf("there is more than the identity: %v", names)
	}
	if _, err := uplink.Enrol(ctx, token, t.TempDir()); err == nil || !strings.Contains(err.Error(), "ask for a new one") {
		t.Errorf("a used token: %v", err)
	}
	after, err := uplink.LoadIdentity(dir)
	if err != nil || after.Serial != identity.Serial {
		t.Errorf("a refusal changed the identity: %v", err)
	}
	// The same gateway may be enrolled anew, another one not in its place.
	again, err := uplink.ParseToken(c.Token(t, "gw-7", "again"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := uplink.Enrol(ctx, again, dir); err != nil || !got.Replaced {
		t.Errorf("enrolling anew: %+v %v", got, err)
	}
	if after, err = uplink.LoadIdentity(dir); err != nil || after.Serial == identity.Serial {
		t.Errorf("enrolled anew, the identity is %+v %v", after, err)
	}
	other, err := uplink.ParseToken(c.Token(t, "gw-8", "other"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := uplink.Enrol(ctx, other, dir); !errors.Is(err, uplink.ErrEnrolled) {
		t.Errorf("another gateway in the same folder: %v", err)
	}
	if _, err := uplink.Enrol(ctx, other, t.TempDir()); err != nil {
		t.Errorf("its token was spent: %v", err)
	}
}

func namesIn(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// TestIdentityFiles: what is no whole identity is none, and says what to do.
func TestIdentityFiles(t *testing.T) {
	c := uplinktest.New(t)
	dir, other := t.TempDir(), t.TempDir()
	c.Identity(t, "gw-1", dir)
	c.Identity(t, "gw-1", other)
	read := func(dir string) string {
		b, err := os.ReadFile(filepath.Join(dir, uplink.IdentityFile))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	good := read(dir)
	const begin = "-----BEGIN"
	parts := strings.SplitAfter(good, "-----\n") // BEGIN, END, …
	block := func(n int) string { return strings.Join(parts[2*n:2*n+2], "") }
	key, cert, ca := block(0), block(1), block(2)
	if key+cert+ca != good || strings.Count(good, begin) != 3 {
		t.Fatalf("unexpected file:\n%s", good)
	}
	foreignKey := strings.Join(strings.SplitAfter(read(other), "-----\n")[:2], "")
	for name, content := range map[string]string{
		"nothing":              "",
		"cut off":              good[:len(good)-100],
		"another's key":        foreignKey + cert + ca,
		"no key":               cert + ca,
		"two keys":             key + foreignKey + cert + ca,
		"no authority":         key + cert,
		"authority as its own": key + ca,
		"no text":              "hello",
		"text behind":          good + "hello",
		"large":                good + strings.Repeat("\n", 1<<20),
	} {
		if err := os.WriteFile(filepath.Join(dir, uplink.IdentityFile), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := uplink.LoadIdentity(dir); !errors.Is(err, uplink.ErrNotEnrolled) || !strings.Contains(err.Error(), "allmende gateway token") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := uplink.LoadIdentity(t.TempDir()); !errors.Is(err, uplink.ErrNotEnrolled) {
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
	if _, err := os.Stat(filepath.Join(dir, uplink.IdentityFile)); err == nil {
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

// SPDX-License-Identifier: AGPL-3.0-or-later

package store_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/coordinator/store"
)

// TestTokenIsUsedByOneKey: of eight that try at once one gets it, which may ask
// again as long as the token lasts.
func TestTokenIsUsedByOneKey(t *testing.T) { onEach(t, testTokenIsUsedByOneKey) }

func testTokenIsUsedByOneKey(t *testing.T, on engine) {
	ctx := context.Background()
	s, _ := fresh(t, on)
	now := day0.Time()
	hash := sha256.Sum256([]byte("secret"))
	if err := s.CreateToken(ctx, "gw-1", hash, now.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.UseToken(ctx, hash, [32]byte{9}, now.Add(time.Hour)); !errors.Is(err, store.ErrToken) {
		t.Errorf("an expired token: %v", err)
	}
	var winner atomic.Int32
	var used atomic.Int32
	var wg sync.WaitGroup
	for n := range int32(8) {
		wg.Go(func() {
			switch gw, err := s.UseToken(ctx, hash, [32]byte{byte(n)}, now); {
			case err == nil && gw == "gw-1":
				used.Add(1)
				winner.Store(n)
			case !errors.Is(err, store.ErrToken):
				t.Errorf("%q, %v", gw, err)
			}
		})
	}
	wg.Wait()
	if used.Load() != 1 {
		t.Errorf("used %d times", used.Load())
	}
	key := [32]byte{byte(winner.Load())}
	if gw, err := s.UseToken(ctx, hash, key, now.Add(59*time.Minute)); err != nil || gw != "gw-1" {
		t.Errorf("the same key once more: %q, %v", gw, err)
	}
	if _, err := s.UseToken(ctx, hash, key, now.Add(time.Hour)); !errors.Is(err, store.ErrToken) {
		t.Errorf("the same key, too late: %v", err)
	}
	if _, err := s.UseToken(ctx, sha256.Sum256(nil), key, now); !errors.Is(err, store.ErrToken) {
		t.Errorf("an unknown token: %v", err)
	}
}

func certificate(gateway, serial string, issued time.Time) store.Certificate {
	return store.Certificate{
		Gateway: roll.GatewayID(gateway), Serial: serial, Origin: store.OriginEnrolled, KeyHash: sha256.Sum256([]byte(serial)),
		DER: []byte("der of " + serial), Issued: issued, NotAfter: issued.Add(30 * 24 * time.Hour),
	}
}

func TestCertificatesAreRemembered(t *testing.T) { onEach(t, testCertificatesAreRemembered) }

func testCertificatesAreRemembered(t *testing.T, on engine) {
	ctx := context.Background()
	s, path := fresh(t, on)
	now := day0.Time()
	for n, c := range []store.Certificate{certificate("gw-1", "0a", now), certificate("gw-1", "0b", now.Add(time.Hour)), certificate("gw-2", "0c", now)} {
		if err := s.SaveCertificate(ctx, c, time.Time{}); err != nil {
			t.Fatal(n, err)
		}
	}
	if err := s.CertificateSeen(ctx, certificate("gw-1", "0b", now), now.Add(2*time.Hour)); err != nil {
		t.Fatal(err)
	}
	stranger := certificate("gw-2", "0d", now.Add(time.Hour)) // signed after the backup
	stranger.Origin = store.OriginUnknown
	if err := s.CertificateSeen(ctx, stranger, now.Add(2*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path)
	list := func(gateway roll.GatewayID) (out string) {
		found, err := s.Certificates(ctx, gateway)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range found {
			out += fmt.Sprintf("%s/%s %s %t;", c.Gateway, c.Serial, c.Origin, !c.LastSeen.IsZero())
		}
		return out
	}
	if got, want := list("gw-1"), "gw-1/0b enrolled true;gw-1/0a enrolled false;"; got != want {
		t.Errorf("of one: %s", got)
	}
	if got, want := list(""), "gw-1/0b enrolled true;gw-1/0a enrolled false;gw-2/0d unknown true;gw-2/0c enrolled false;"; got != want {
		t.Errorf("of all: %s", got)
	}
	c, known, err := s.CertificateOfKey(ctx, "gw-1", sha256.Sum256([]byte("0a")))
	if err != nil || !known || c.Serial != "0a" || string(c.DER) != "der of 0a" || !c.NotAfter.Equal(now.Add(30*24*time.Hour)) {
		t.Errorf("%+v %v %v", c, known, err)
	}
	if _, known, err := s.CertificateOfKey(ctx, "gw-2", sha256.Sum256([]byte("0a"))); err != nil || known {
		t.Errorf("another gateway's key: %v %v", known, err)
	}
	// What ended long ago is forgotten when a new one is given.
	if err := s.SaveCertificate(ctx, certificate("gw-1", "0e", now.Add(100*24*time.Hour)), now.Add(50*24*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if got, want := list("gw-1"), "gw-1/0e enrolled false;"; got != want {
		t.Errorf("after forgetting: %s", got)
	}
}

func TestRevocations(t *testing.T) { onEach(t, testRevocations) }

func testRevocations(t *testing.T, on engine) {
	ctx := context.Background()
	s, path := fresh(t, on)
	now := day0.Time()
	for _, c := range []store.Certificate{certificate("gw-1", "0a", now), certificate("gw-1", "0b", now), certificate("gw-2", "0c", now)} {
		if err := s.SaveCertificate(ctx, c, time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	open1, used1, other := sha256.Sum256([]byte("open")), sha256.Sum256([]byte("used")), sha256.Sum256([]byte("other"))
	for hash, gw := range map[[32]byte]roll.GatewayID{open1: "gw-1", used1: "gw-1", other: "gw-2"} {
		if err := s.CreateToken(ctx, gw, hash, now.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.UseToken(ctx, used1, [32]byte{1}, now); err != nil {
		t.Fatal(err)
	}
	if known, err := s.RevokeCertificate(ctx, "gw-2", "0a", "wrong gateway", now); err != nil || known {
		t.Errorf("a serial of another gateway: %v %v", known, err)
	}
	for range 2 { // the second changes nothing
		if known, err := s.RevokeCertificate(ctx, "gw-1", "0a", "lost", now.Add(time.Minute)); err != nil || !known {
			t.Fatalf("%v %v", known, err)
		}
		now = now.Add(time.Minute)
	}
	if err := s.RevokeGateway(ctx, "gw-1", "stolen", now.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path)
	revoked, err := s.RevokedCertificates(ctx)
	if err != nil || len(revoked) != 2 || revoked[0].Serial != "0a" || revoked[0].Reason != "lost" || revoked[1].Reason != "stolen" ||
		!revoked[0].Revoked.Equal(day0.Time().Add(time.Minute)) || !revoked[1].Revoked.Equal(day0.Time().Add(3*time.Minute)) {
		t.Errorf("%+v %v", revoked, err)
	}
	all, err := s.Revocations(ctx)
	if err != nil || len(all) != 1 || all["gw-1"].Reason != "stolen" || !all["gw-1"].Before.Equal(day0.Time().Add(3*time.Minute)) {
		t.Errorf("%+v %v", all, err)
	}
	// Tokens of the gateway are of no use any more, used or not; others are.
	at := now.Add(2 * time.Minute)
	if _, err := s.UseToken(ctx, open1, [32]byte{2}, at); !errors.Is(err, store.ErrToken) {
		t.Errorf("an open token of a revoked gateway: %v", err)
	}
	if _, err := s.UseToken(ctx, used1, [32]byte{1}, at); !errors.Is(err, store.ErrToken) {
		t.Errorf("a used token of a revoked gateway: %v", err)
	}
	if gw, err := s.UseToken(ctx, other, [32]byte{3}, at); err != nil || gw != "gw-2" {
		t.Errorf("the token of another: %q %v", gw, err)
	}
}

func TestCertificatesOfADayAreBounded(t *testing.T) { onEach(t, testCertificatesOfADayAreBounded) }

func testCertificatesOfADayAreBounded(t *testing.T, on engine) {
	ctx := context.Background()
	s, _ := fresh(t, on)
	now := day0.Time()
	for n := range 1000 {
		err := s.SaveCertificate(ctx, certificate("gw-1", fmt.Sprint(n), now), time.Time{})
		if errors.Is(err, store.ErrCrowded) {
			if err := s.SaveCertificate(ctx, certificate("gw-2", "1", now), time.Time{}); err != nil {
				t.Errorf("another gateway: %v", err)
			}
			if err := s.SaveCertificate(ctx, certificate("gw-1", "tomorrow", now.Add(25*time.Hour)), time.Time{}); err != nil {
				t.Errorf("the next day: %v", err)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Error("there is no bound")
}

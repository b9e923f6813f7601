// SPDX-License-Identifier: AGPL-3.0-or-later

package people

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"
	"pgregory.net/rapid"
)

func TestPasswords(t *testing.T) {
	h := newHasher()
	hashed, err := h.hash(t.Context(), "four words like these")
	if err != nil || !strings.HasPrefix(hashed, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Fatalf("%s, %v", hashed, err)
	}
	for _, c := range []struct {
		password, hash string
		ok, outdated   bool
	}{
		{"four words like these", hashed, true, false},
		{"four words like those", hashed, false, false},
		{"", hashed, false, false},
		{"four words like these", "", false, false}, // who has no password
		{"", "", false, false},
		// What another keyboard writes for the same letters.
		{"u\u0308ber alle Berge", mustHash(t, h, "über alle Berge"), true, false},
	} {
		ok, outdated, err := h.check(t.Context(), c.password, c.hash)
		if err != nil || ok != c.ok || outdated != c.outdated {
			t.Errorf("%q against %.20q: %v, %v, %v", c.password, c.hash, ok, outdated, err)
		}
	}
	// A hash from elsewhere, at another cost, works and is renewed.
	salt := []byte("saltsaltsaltsalt")
	b := base64.RawStdEncoding
	other := fmt.Sprintf("$argon2id$v=19$m=64,t=1,p=2$%s$%s", b.EncodeToString(salt), b.EncodeToString(argon2.IDKey([]byte("hello hello"), salt, 1, 64, 2, 24)))
	if ok, outdated, err := h.check(t.Context(), "hello hello", other); err != nil || !ok || !outdated {
		t.Errorf("a cheaper hash: %v, %v, %v", ok, outdated, err)
	}
	// One that would eat the memory is not computed.
	for _, bad := range []string{
		"$argon2id$v=19$m=99999999,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA", "$argon2id$v=19$m=64,t=999999,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA",
		"$2y$10$abc", "$argon2id$v=19$m=64,t=1,p=0$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA", "$argon2id$", "plain",
	} {
		if _, _, err := h.check(t.Context(), "x", bad); err == nil {
			t.Errorf("%s was taken for a hash", bad)
		}
	}
}

func mustHash(t *testing.T, h *hasher, password string) string {
	t.Helper()
	hashed, err := h.hash(t.Context(), password)
	if err != nil {
		t.Fatal(err)
	}
	return hashed
}

func TestWhatMakesAPassword(t *testing.T) {
	for password, says := range map[string]string{
		"short":                      "at least 10",
		"123456789":                  "at least 10",
		"1234567890":                 "everybody tries",
		"PASSWORD123":                "everybody tries",
		"aaaaaaaaaaaaaaaa":           "everybody tries",
		"abababababab":               "everybody tries",
		"Sunny Lane1":                "name",
		"stella.s2026":               "name",
		strings.Repeat("long ", 100): "too long",
		"bad \xff utf-8 text":        "too long",
		"correct horse battery":      "",
		"nur kleine buchstaben":      "",
		"Пароль из слов":             "",
		"stella mag grüne Äpfel":     "",
	} {
		err := acceptable(password, "stella.s", "Stella", "Sunny Lane")
		if (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, expected %q", password, err, says)
		}
	}
	n := 0
	for line := range strings.Lines(worst) {
		n++
		if acceptable(strings.TrimSpace(line)) == nil {
			t.Errorf("%q is taken", line)
		}
	}
	if n < 100 {
		t.Errorf("%d of the worst passwords are known", n)
	}
}

// A flood of sign-ins takes the memory of a few, and the rest are told so.
func TestHashingIsBounded(t *testing.T) {
	h := newHasher()
	var leave []func()
	for range hashing {
		l, err := h.place(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		leave = append(leave, l)
	}
	var all sync.WaitGroup
	for range waiting {
		all.Go(func() {
			if l, err := h.place(t.Context()); err == nil {
				l()
			}
		})
	}
	for h.queued.Load() < hashing+waiting {
		time.Sleep(time.Millisecond)
	}
	if _, err := h.place(t.Context()); !errors.Is(err, errBusy) {
		t.Errorf("one more: %v", err)
	}
	for _, l := range leave {
		l()
	}
	all.Wait()
	if n := h.queued.Load(); n != 0 {
		t.Errorf("%d places are still taken", n)
	}
}

func TestCodes(t *testing.T) {
	codes, hashes := newCodes()
	if len(codes) != codeCount || len(slices.Compact(slices.Sorted(slices.Values(codes)))) != codeCount {
		t.Fatalf("codes %v", codes)
	}
	for i, code := range codes {
		for _, typed := range []string{code, strings.ToUpper(code), strings.ReplaceAll(code, "-", ""), " " + strings.ReplaceAll(code, "-", " – ") + "\n", strings.ReplaceAll(code, "o", "0"), strings.ReplaceAll(code, "l", "1")} {
			if codeDigest(typed) != hashes[i] {
				t.Errorf("%q is not taken for %s", typed, code)
			}
		}
	}
}

func TestLimits(t *testing.T) {
	clock := &wall{at: time.UnixMilli(1_800_000_000_000)}
	a := newAttemptLimits(clock.now)
	const home, cafe = "192.0.2.7", "198.51.100.9"
	// Five are free, then each wait is longer, up to a minute.
	for i := range 5 {
		if wait := a.try("stella", home); wait > 0 {
			t.Fatalf("attempt %d waits %v", i+1, wait)
		}
		clock.pass(2 * time.Second)
	}
	last := time.Duration(0)
	for range 20 {
		wait := a.try("stella", home)
		if wait == 0 {
			continue
		}
		if wait < last && wait < 55*time.Second || wait > time.Minute {
			t.Fatalf("a wait of %v behind one of %v", wait, last)
		}
		last = wait
		clock.pass(wait)
	}
	if last < 30*time.Second {
		t.Errorf("the longest wait was %v", last)
	}
	// An attacker elsewhere, who never stops, doesn't keep the owner out: not at
	// all where she signed in before, and never for longer than she is told.
	a.succeeded("stella", home)
	for range 500 {
		a.try("stella", cafe)
		clock.pass(100 * time.Millisecond)
	}
	if wait := a.try("stella", home); wait > 0 {
		t.Errorf("where she signed in before she waits %v", wait)
	}
	if wait := a.try("stella", "203.0.113.5"); wait > 10*time.Second {
		t.Errorf("at a new place she waits %v", wait)
	}
	// Other people at other places don't wait for it.
	if wait := a.try("theo", "203.0.113.6"); wait > 0 {
		t.Errorf("somebody else waits %v", wait)
	}
}

// However many names and addresses are tried, memory has a bound, and whoever
// waits as long as she is told gets her attempt.
func TestLimitsAreBounded(t *testing.T) {
	clock := &wall{at: time.UnixMilli(1_800_000_000_000)}
	l := newLimiter(3, time.Minute, clock.now)
	for i := range 3 * limiterKeys {
		l.try(fmt.Sprint(i))
	}
	if len(l.seen) > limiterKeys {
		t.Errorf("%d keys are kept", len(l.seen))
	}
	rapid.Check(t, func(t *rapid.T) {
		clock := &wall{at: time.UnixMilli(1_800_000_000_000)}
		l := newLimiter(rapid.IntRange(0, 6).Draw(t, "free"), time.Duration(rapid.IntRange(1, 120).Draw(t, "most"))*time.Second, clock.now)
		for range rapid.IntRange(1, 60).Draw(t, "attempts") {
			if wait := l.try("x"); wait > 0 {
				if wait > l.most {
					t.Fatalf("a wait of %v, at most %v", wait, l.most)
				}
				clock.pass(wait)
				if again := l.try("x"); again > 0 {
					t.Fatalf("waited %v, and has to wait %v more", wait, again)
				}
			}
			clock.pass(time.Duration(rapid.IntRange(0, 90).Draw(t, "pause")) * time.Second)
		}
	})
}

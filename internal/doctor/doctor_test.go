// SPDX-License-Identifier: AGPL-3.0-or-later

package doctor

import (
	"context"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestStatesOfADisk(t *testing.T) {
	const gib = 1 << 30
	for _, x := range []struct {
		name  string
		d     disk
		state State
		words string
	}{
		{"empty", disk{size: 100 * gib, free: 90 * gib, inodes: 100, freeInodes: 90}, OK, "90 GiB"},
		{"no inodes counted", disk{size: 100 * gib, free: 90 * gib}, OK, "90 %"},
		{"low", disk{size: 100 * gib, free: 5 * gib}, Warn, "5 %"},
		{"small and low", disk{size: 4 * gib, free: gib / 2}, Warn, "512 MiB"},
		{"nearly full", disk{size: 100 * gib, free: gib}, Fail, "1 %"},
		{"full", disk{size: gib, free: 0}, Fail, "0 MiB"},
		{"no inodes", disk{size: 100 * gib, free: 90 * gib, inodes: 1000, freeInodes: 10}, Fail, "10 of 1000 inodes"},
		{"of another computer", disk{size: 100 * gib, free: 90 * gib, remote: "NFS"}, Fail, "NFS"},
	} {
		worst := Finding{State: OK}
		for _, f := range x.d.findings("/data") {
			if worst.State == OK || f.State == Fail {
				worst = f
			}
			if (f.State == OK) != (f.Mend == "") {
				t.Errorf("%s: %+v", x.name, f)
			}
		}
		if worst.State != x.state || !strings.Contains(worst.Seen, x.words) {
			t.Errorf("%s: %+v, expected %s with %q", x.name, worst, x.state, x.words)
		}
	}
}

// A check that hangs hides no other.
func TestAHangingCheckIsLeftBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		var shown []string
		r := Run(t.Context(), []Check{
			{Name: "deaf", Look: func(context.Context) []Finding { <-hang; return nil }},
			{Name: "slow", Patience: time.Second, Look: func(ctx context.Context) []Finding {
				<-ctx.Done()
				return []Finding{Ill("wait", "it took too long")}
			}},
			{Name: "well", Look: func(context.Context) []Finding { return []Finding{Well("yes")} }},
		}, func(f Finding) { shown = append(shown, f.Check+": "+f.Seen) })
		want := "deaf: it did not come to an end within 10s\nslow: it took too long\nwell: yes"
		if got := strings.Join(shown, "\n"); got != want || r.Failures != 2 || r.Warnings != 0 {
			t.Errorf("%s\n%+v", got, r)
		}
		close(hang)
	})
}

func TestStatesOfACertificate(t *testing.T) {
	now := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	cert := &x509.Certificate{NotBefore: now, NotAfter: now.AddDate(1, 0, 0)}
	for _, x := range []struct {
		at     time.Time
		renews bool
		state  State
	}{
		{now.AddDate(0, 1, 0), false, OK},
		{now.AddDate(0, 11, 25), false, Warn},
		{now.AddDate(0, 11, 25), true, OK},
		{now.AddDate(1, 0, 1), false, Fail},
		{now.AddDate(1, 0, 1), true, Warn},
		{now.AddDate(0, 0, -1), true, Fail},
	} {
		if f := Certificate("it", cert, x.at, x.renews, "renew it"); f.State != x.state {
			t.Errorf("at %v, renewed %v: %+v", x.at, x.renews, f)
		}
	}
}

func TestThisComputer(t *testing.T) {
	dir := t.TempDir()
	r := Run(t.Context(), []Check{Clock(time.Now()), Space(dir, filepath.Join(dir, "not", "there")), Memory(), Zone("Europe/Vienna", time.Now()), Zone("Mars/Olympus", time.Now())}, nil)
	if len(r.Findings) != 5 { // both paths are on one disk
		t.Errorf("%+v", r)
	}
	if f := r.Findings[4]; f.State != Fail || !strings.Contains(f.Seen, "Mars/Olympus") {
		t.Errorf("%+v", f)
	}
	for _, f := range r.Findings {
		if (f.State == OK) != (f.Mend == "") || f.Seen == "" {
			t.Errorf("%+v", f)
		}
	}
	if f := Writable(filepath.Join(dir, "no")); f.State != Fail {
		t.Errorf("%+v", f)
	}
	if f := Writable(dir); f.State != OK {
		t.Errorf("%+v", f)
	}
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, nil, 0o640); err != nil {
		t.Fatal(err)
	}
	if f := Private("permissions", secret, filepath.Join(dir, "none")).Look(t.Context()); len(f) != 1 || f[0].Mend != "chmod 600 "+secret {
		t.Errorf("%+v", f)
	}
}

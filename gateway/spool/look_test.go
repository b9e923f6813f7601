// SPDX-License-Identifier: AGPL-3.0-or-later

package spool

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/meters"
)

// TestLook: what is seen from outside is what is there, and nothing is changed.
func TestLook(t *testing.T) {
	dir := t.TempDir()
	if v, err := Look(dir); err != nil || v != (View{}) {
		t.Errorf("an empty folder: %+v %v", v, err)
	}
	if v, err := Look(filepath.Join(dir, "none")); err != nil || v != (View{}) {
		t.Errorf("no folder: %+v %v", v, err)
	}
	s, err := Open(dir, Options{SegmentBytes: 4 << 10, MaxBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	for n := range 100 {
		if _, err := s.Append([]meters.Sample{sampleAt(n)}); err != nil {
			t.Fatal(err)
		}
	}
	id, last, _ := s.Position()
	s.Acknowledge(id, 40)
	v, err := Look(dir)
	if err != nil || v.ID != id || v.Last != last || !v.InUse || v.Newest != sampleAt(99).At || v.Bytes != s.Bytes() {
		t.Errorf("in use: %+v %v, expected %d samples in %d bytes", v, err, last, s.Bytes())
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	before := listing(t, dir)
	if v, err = Look(dir); err != nil || v.InUse || v.Last != 100 || v.Acked != 40 {
		t.Errorf("closed: %+v %v", v, err)
	}
	if after := listing(t, dir); after != before {
		t.Errorf("looking changed the folder from %s to %s", before, after)
	}
	if err := os.WriteFile(filepath.Join(dir, stateName), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Look(dir); err == nil {
		t.Error("a broken state is taken")
	}
}

func sampleAt(n int) meters.Sample {
	return meters.Sample{Key: meters.Key{Asset: "roof", Register: meters.Production}, At: energy.Instant(1_780_000_000_000 + 1000*n), Value: energy.Energy(n), SoC: -1}
}

func listing(t *testing.T, dir string) (out string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		out += e.Name() + " " + info.ModTime().String() + ";"
	}
	return out
}

// SPDX-License-Identifier: AGPL-3.0-or-later

package guard

import (
	"crypto/ed25519"
	"errors"
	"strings"
	"testing"
)

func TestWaiver(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	other, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	w := Waiver{Asset: "battery-1", Serial: "SN 7", Operator: "Anna Berg", Date: "2026-11-21"}
	line, err := w.Sign(private)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := CheckWaiver(line, "battery-1", []ed25519.PublicKey{other, public}); err != nil || got != w {
		t.Fatalf("%+v, %v", got, err)
	}
	for name, c := range map[string]struct {
		line  string
		asset string
		keys  []ed25519.PublicKey
	}{
		"another asset":    {line, "battery-2", []ed25519.PublicKey{public}},
		"another key":      {line, "battery-1", []ed25519.PublicKey{other}},
		"no key":           {line, "battery-1", nil},
		"another name":     {strings.Replace(line, "Anna", "Hans", 1), "battery-1", []ed25519.PublicKey{public}},
		"another date":     {strings.Replace(line, "2026", "2027", 1), "battery-1", []ed25519.PublicKey{public}},
		"another serial":   {strings.Replace(line, "SN 7", "", 1), "battery-1", []ed25519.PublicKey{public}},
		"another asset in": {strings.Replace(line, "battery-1", "battery-2", 1), "battery-2", []ed25519.PublicKey{public}},
		"damaged":          {line[:len(line)-4], "battery-1", []ed25519.PublicKey{public}},
		"empty":            {"", "battery-1", []ed25519.PublicKey{public}},
		"I know":           {"yes", "battery-1", []ed25519.PublicKey{public}},
	} {
		if _, err := CheckWaiver(c.line, "battery-1", c.keys); c.asset == "battery-1" && !errors.Is(err, ErrWaiver) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := CheckWaiver(c.line, "battery-2", c.keys); !errors.Is(err, ErrWaiver) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, bad := range []Waiver{
		{Asset: "B 1", Operator: "A", Date: "2026-11-21"}, {Asset: "b", Date: "2026-11-21"}, {Asset: "b", Operator: "A|B", Date: "2026-11-21"},
		{Asset: "b", Operator: "A\nB", Date: "2026-11-21"}, {Asset: "b", Operator: "A", Date: "today"}, {Asset: "b", Operator: "A", Date: "2026-11-21", Serial: "a\x00"},
	} {
		if _, err := bad.Sign(private); err == nil {
			t.Errorf("signed %+v", bad)
		}
	}
	if key, err := ParseKey(KeyText(public)); err != nil || !key.Equal(public) {
		t.Errorf("%v", err)
	}
	for _, bad := range []string{"", "ed25519:", "ed25519:AAAA", strings.TrimPrefix(KeyText(public), "ed25519:")} {
		if _, err := ParseKey(bad); err == nil {
			t.Errorf("%q is a key", bad)
		}
	}
}

func FuzzCheckWaiver(f *testing.F) {
	public, private, _ := ed25519.GenerateKey(nil)
	w := Waiver{Asset: "battery-1", Operator: "Anna", Date: "2026-11-21"}
	line, _ := w.Sign(private)
	f.Add(line)
	f.Add("allmende-waiver-1|||||")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := CheckWaiver(text, "battery-1", []ed25519.PublicKey{public})
		if err == nil && (got != w || text != line) {
			t.Fatalf("%q is a waiver", text)
		}
	})
}

// SPDX-License-Identifier: AGPL-3.0-or-later

package profile_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/allmende-energy/allmende/gateway/device"
	"github.com/allmende-energy/allmende/gateway/profile"
)

// Every profile of the library has an image that a person worked out, and every
// control that may be written has two sources.
func TestEveryProfileIsShown(t *testing.T) {
	shown := map[string]bool{}
	files, err := filepath.Glob("testdata/images/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		f, _ := readImage(t, file)
		shown[f.Profile] = true
	}
	for _, p := range library(t).All() {
		if !shown[p.Name] && p.Reads != profile.SunSpec {
			t.Errorf("%s has no image in testdata/images", p.Name)
		}
		for _, k := range p.Controls {
			if n := len(k.From); k.Confirmed && (n == 1 || n == 0 && len(p.Sources) < 2) {
				t.Errorf("%s: %s has one source", p.Name, k.Quantity)
			}
		}
		src, err := library(t).Source(p.Name)
		if err != nil || !strings.Contains(string(src), "profile: "+p.Name+"\n") {
			t.Errorf("%s is not in the file of its name: %v", p.Name, err)
		}
	}
}

// A profile of the folder replaces the one of its name, and that is said; two
// of the folder with one name are refused.
func TestFolderReplaces(t *testing.T) {
	dir := t.TempDir()
	src, err := library(t).Source("eastron-sdm630")
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) string {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	file := write("mine.yaml", strings.Replace(string(src), "version: 1", "version: 7", 1))
	lib, err := profile.LoadLibrary(dir)
	if err != nil {
		t.Fatal(err)
	}
	p, err := lib.Get("eastron-sdm630")
	if err != nil || p.Version != 7 || p.Origin != file || !slices.Equal(lib.Replaced, []string{"eastron-sdm630"}) {
		t.Errorf("version %d of %s, replaced %v, %v", p.Version, p.Origin, lib.Replaced, err)
	}
	if got, err := lib.Source("eastron-sdm630"); err != nil || !strings.Contains(string(got), "version: 7") {
		t.Errorf("its text is not that of the folder: %v", err)
	}
	write("other.yaml", string(src))
	if _, err := profile.LoadLibrary(dir); err == nil || !strings.Contains(err.Error(), "another name") {
		t.Errorf("two of one name: %v", err)
	}
	if _, err := lib.Get("eastron-smd630"); !errors.Is(err, profile.ErrUnknown) || !strings.Contains(err.Error(), "eastron-sdm630") {
		t.Errorf("a typing error: %v", err)
	}
}

// What is encoded is decoded again, for every point of every profile.
func TestEncodeDecode(t *testing.T) {
	for _, p := range library(t).All() {
		for _, pt := range p.Points {
			if pt.Address == nil || pt.Type == profile.String || pt.Type == profile.Enum || pt.Type == profile.Bitfield || pt.Type == profile.Bit ||
				pt.Type == profile.F32 || pt.Type == profile.F64 || pt.NegativeIf != nil {
				continue
			}
			rapid.Check(t, func(rt *rapid.T) {
				scale := profile.Decimal{Raw: 1}
				if pt.Scale != nil {
					scale = *pt.Scale
				}
				n, ok := profile.Decimal{Raw: rapid.Int64Range(1, 30000).Draw(rt, "count") - pt.Offset}.Times(scale)
				if !ok {
					rt.Fatal("too large")
				}
				m := &profile.Image{}
				if err := p.Encode(m, pt.Name, n.String()); err != nil {
					if pt.Sign != "" { // an unsigned register of the other direction
						return
					}
					rt.Fatalf("%s %s: %s: %v", p.Name, pt.Name, n, err)
				}
				if r := profile.DecodeForTest(&pt, m); r.Reason != "" || r.Number.Cmp(n) != 0 {
					rt.Fatalf("%s %s: put %s, got %s %s", p.Name, pt.Name, n, r.Number, r.Reason)
				}
			})
		}
	}
}

// What a device is commanded stands in its registers, is read back, and is gone
// when it is released. The board is as it is after a release.
func TestCommandsAreUnderstood(t *testing.T) {
	tried, lib := 0, library(t)
	for _, p := range lib.All() {
		for i := range p.Controls {
			k := &p.Controls[i]
			if !k.Confirmed {
				continue
			}
			tried++
			rapid.Check(t, func(rt *rapid.T) { command(rt, t, lib, p, k) })
		}
	}
	if tried < 8 {
		t.Errorf("only %d controls", tried)
	}
}

func command(rt *rapid.T, t *testing.T, lib *profile.Library, p *profile.Profile, k *profile.Control) {
	b := boardOf(t, p)
	dev, err := profile.Open(t.Context(), b, 1, profile.Options{Profile: p.Name, Kind: kindOf(p, k.Quantity), Library: lib})
	if err != nil {
		rt.Fatal(err)
	}
	if k.Switch {
		commandSwitch(rt, t, dev, k, b)
		return
	}
	least, _ := k.Least.In(0)
	most, _ := k.Most.In(0)
	watts := rapid.Int64Range(least, most).Draw(rt, "watts")
	least = max(int64(k.Reversion.LeastSeconds), 60)
	c := device.Command{Quantity: k.Quantity, Value: watts * 1000, Reversion: time.Duration(least) * time.Second}
	if err := dev.Apply(t.Context(), c); err != nil {
		rt.Fatalf("%s: %v", p.Name, err)
	}
	all := *k // its registers that cannot be read are known to the device
	all.Set, all.Stop, all.Release = readable(k.Set), readable(k.Stop), readable(k.Release)
	told, err := all.Commanded(b.img)
	if err != nil || !told.Active && watts != 0 || !near(told.Value, c.Value, k) {
		rt.Fatalf("%s: %s of %d W shows %+v, %v", p.Name, k.Quantity, watts, told, err)
	}
	seen, err := dev.Applied(t.Context())
	if !errors.Is(err, device.ErrNotReadable) && (err != nil || seen.Quantity == k.Quantity && seen.Value != told.Value) {
		rt.Fatalf("%s: read back %+v, %v, in force %+v", p.Name, seen, err, told)
	}
	if err := dev.Release(t.Context()); err != nil {
		rt.Fatal(err)
	}
	if told, err := all.Commanded(b.img); err != nil || told.Active && told.Value != 0 && k.Quantity != device.LoadPower {
		rt.Fatalf("%s: released, but %+v, %v", p.Name, told, err)
	}
}

// commandSwitch is command for a load that can only be blocked or let go.
func commandSwitch(rt *rapid.T, t *testing.T, dev device.Device, k *profile.Control, b *board) {
	least, _ := k.Least.In(-3)
	for range 4 {
		c := device.Command{Quantity: k.Quantity, Value: rapid.Int64Range(0, 2*least).Draw(rt, "milliwatts")}
		if err := dev.Apply(t.Context(), c); err != nil {
			rt.Fatal(err)
		}
		told, err := k.Commanded(b.img)
		if err != nil || told.Active != (c.Value < least) || told.Value != 0 {
			rt.Fatalf("a limit of %d mW shows %+v, %v", c.Value, told, err)
		}
		if seen, err := dev.Applied(t.Context()); err != nil || seen != told {
			rt.Fatalf("read back %+v, %v, in force %+v", seen, err, told)
		}
	}
	if err := dev.Release(t.Context()); err != nil {
		rt.Fatal(err)
	}
	if told, err := k.Commanded(b.img); err != nil || told.Active {
		rt.Fatalf("released, but %+v, %v", told, err)
	}
}

// near allows what the registers cannot tell apart: a count, and Huawei's rest.
func near(got, want int64, k *profile.Control) bool {
	step := int64(1000)
	for _, w := range k.Set {
		if w.Scale != nil && w.Takes != "seconds" && w.Type != profile.F32 {
			milli, _ := w.Scale.In(-3)
			step = max(step, milli)
		}
	}
	return got-want <= step && want-got <= step
}

func readable(steps []profile.Write) []profile.Write {
	steps = slices.Clone(steps)
	for i := range steps {
		steps[i].Read = ""
	}
	return steps
}

func kindOf(p *profile.Profile, q device.Quantity) profile.Kind {
	for _, k := range p.Kinds {
		battery := q == device.BatteryPower || q == device.ChargeLimit || q == device.DischargeLimit
		load := q == device.LoadPower
		if battery == (k == profile.Battery) && load == (k == profile.Charger || k == profile.HeatPump) {
			return k
		}
	}
	return p.Kinds[0]
}

// boardOf is the image of a profile with the registers of its controls.
func boardOf(t *testing.T, p *profile.Profile) *board {
	t.Helper()
	_, img := readImage(t, "testdata/images/"+p.Name+".yaml")
	for _, k := range p.Controls {
		for _, w := range slices.Concat(k.Set, k.Stop, k.Release) {
			size := 1
			if w.Type == profile.U32 || w.Type == profile.S32 || w.Type == profile.F32 {
				size = 2
			}
			if _, err := img.Get(w.Table, w.Address, uint16(size)); err != nil {
				img.Set(w.Table, w.Address, make([]uint16, size)...)
			}
		}
	}
	return &board{img: img}
}

// A device that does not show what its profile is known by is refused, and the
// error says what to do; without a profile it is recognised where it names itself.
func TestWrongProfile(t *testing.T) {
	lib := library(t)
	_, abb := readImage(t, "testdata/images/abb-ab.yaml")
	b := &board{img: abb}
	_, err := profile.Open(t.Context(), b, 1, profile.Options{Profile: "huawei-sun2000", Library: lib})
	if !errors.Is(err, profile.ErrMismatch) || !strings.Contains(err.Error(), "gateway probe") || !strings.Contains(err.Error(), "SUN2000") {
		t.Errorf("Huawei's profile for ABB's meter: %v", err)
	}
	dev, err := profile.Open(t.Context(), b, 1, profile.Options{Library: lib})
	if err != nil || dev.Identity().Manufacturer != "ABB" {
		t.Errorf("it says that it is a B23: %v", err)
	}
	_, sdm := readImage(t, "testdata/images/eastron-sdm120.yaml")
	if _, err := profile.Open(t.Context(), &board{img: sdm}, 1, profile.Options{Library: lib}); err == nil || !strings.Contains(err.Error(), "eastron-sdm120") {
		t.Errorf("plausible values are no name: %v", err)
	}
	if _, err := profile.Open(t.Context(), &board{img: &profile.Image{}}, 1, profile.Options{Library: lib}); err == nil || !strings.Contains(err.Error(), "docs/profiles.md") {
		t.Errorf("nobody knows it: %v", err)
	}
	if _, err := profile.Open(t.Context(), b, 1, profile.Options{Profile: "abb-ab", Kind: profile.Battery, Library: lib}); err == nil || !strings.Contains(err.Error(), "no battery") {
		t.Errorf("a meter is no battery: %v", err)
	}
}

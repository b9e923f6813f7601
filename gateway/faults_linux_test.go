// SPDX-License-Identifier: AGPL-3.0-or-later

package gateway_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway"
	"github.com/allmende-energy/allmende/gateway/uplink"
	"github.com/allmende-energy/allmende/gateway/uplink/uplinktest"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

// TestFullDisk fills the disk under a running gateway: the world goes on, the
// status says what to do, and every boundary of that time arrives in the end.
func TestFullDisk(t *testing.T) {
	w := newWorld(t)
	dir := filepath.Join(w.dir, "spool")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("mounting a small tmpfs needs root and CAP_SYS_ADMIN: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	stop := w.gateway(func(c *gateway.Config) {
		c.Uplink = uplink.Bounds{StatusEvery: time.Millisecond, MaxBackoff: 50 * time.Millisecond}
	})
	defer stop() // before the disk goes
	w.connected()
	w.to(20)
	ballast := filepath.Join(dir, "ballast")
	f, err := os.Create(ballast)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	// A page of the spool's own may still have room: go on until it is used up.
	minute := int64(20)
	for full := false; !full; minute += 15 {
		w.to(minute)
		w.peer.Wait(w.ctx, t, "", func(v uplinktest.View) bool {
			full = strings.Contains(v.Status.GetSpoolError(), "free some space")
			return true
		})
	}
	w.to(minute + 60)
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	until := minute + 120
	w.to(until)
	v := w.peer.Wait(w.ctx, t, "all samples and a clean status", func(v uplinktest.View) bool {
		_, ok := samples(v, "home-2-meter", "import")[start.Add(energy.Span(until/15*15)*energy.Minute)]
		return ok && v.Status.GetSpoolError() == ""
	})
	got := samples(v, "home-2-meter", "import")
	for quarter := int64(2); quarter*15 <= until; quarter++ {
		if _, ok := got[start.Add(energy.Span(quarter)*energy.QuarterHour)]; !ok {
			t.Errorf("the sample of minute %d is missing", quarter*15)
		}
	}
}

// TestGarbageDevice: a server that answers with garbage, half a frame or not at
// all harms nobody else, and is reported.
func TestGarbageDevice(t *testing.T) {
	for name, answer := range map[string]string{
		"garbage":      "HTTP/1.1 400 Bad Request\r\n\r\n<html>this is not Modbus at all</html>",
		"half a frame": "\x00\x01\x00\x00\x00\x07\x01\x03\x04",
		"nothing":      "",
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.devices = append(w.devices, gateway.Device{Asset: "broken", URL: "tcp://" + liar(t, answer), Unit: 1})
			w.gateway(func(c *gateway.Config) {
				c.Modbus.Timeout = 3 * time.Second // of the others, on a busy machine
				c.Uplink = uplink.Bounds{StatusEvery: time.Millisecond, MaxBackoff: 50 * time.Millisecond}
			})
			w.connected()
			w.to(31)
			at := start.Add(30 * energy.Minute)
			v := w.peer.Wait(w.ctx, t, "the boundary of the others, and the report", func(v uplinktest.View) bool {
				_, ok := samples(v, "home-1-meter", "import")[at]
				reported := false
				for _, d := range v.Status.GetDevices() {
					reported = reported || d.GetAssetId() == "broken" && !d.GetOnline() && d.GetError() != ""
				}
				return ok && reported
			})
			for _, batch := range v.Live {
				for _, r := range batch.GetReadings() {
					if r.GetAssetId() == "broken" {
						t.Errorf("a reading was invented: %v", r)
					}
				}
			}
		})
	}
}

// liar is a server that answers every request with the same bytes.
func liar(t *testing.T, answer string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	work.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			work.Go(func() {
				defer conn.Close()
				request := make([]byte, 300)
				for {
					if _, err := conn.Read(request); err != nil {
						return
					}
					if _, err := conn.Write([]byte(answer)); err != nil {
						return
					}
				}
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		work.Wait()
	})
	return l.Addr().String()
}

// TestFullDiskCommands: on a disk that is full from the start the gateway
// measures and limits, and follows no setpoint; once there is room it does,
// without a restart. After a restart it still knows the epoch: the owner before
// is not obeyed, and the coordinator hears of it.
func TestFullDiskCommands(t *testing.T) {
	w := newWorld(t)
	dir := filepath.Join(w.dir, "spool")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("mounting a small tmpfs needs root and CAP_SYS_ADMIN: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	// The first coordinator leaves epoch 1 behind.
	bounds := func(c *gateway.Config) {
		c.Uplink = uplink.Bounds{StatusEvery: time.Millisecond, MaxBackoff: 50 * time.Millisecond}
	}
	stop := w.gateway(bounds)
	w.connected()
	w.to(2)
	w.peer.Kill()
	w.to(3)
	ballast := filepath.Join(dir, "ballast")
	f, err := os.Create(ballast)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	f.Close()

	w.peer.Epoch = 7 // another took over
	w.peer.Start(t)
	w.connected()
	w.peer.Wait(w.ctx, t, "that nothing is commanded", func(v uplinktest.View) bool {
		return strings.Contains(v.Status.GetSpoolError(), "nothing is commanded")
	})
	minute, sequence := int64(3), uint64(0)
	// command sends one, again and again while the world goes on, until what is
	// seen is what is waited for.
	command := func(epoch uint64, what string, ok func(charges bool, note, problem string) bool) {
		t.Helper()
		before := 0
		w.peer.Wait(w.ctx, t, "", func(v uplinktest.View) bool { before = len(v.Live); return true })
		for range 200 {
			minute++
			w.to(minute)
			v := w.peer.Wait(w.ctx, t, "live values", func(v uplinktest.View) bool { return len(v.Live) > before && v.Status != nil })
			last, charges, note := v.Live[len(v.Live)-1], false, ""
			for _, r := range last.GetReadings() {
				charges = charges || r.GetAssetId() == "home-1-battery" && r.GetPowerMilliwatts() < -int64(500*energy.Watt)
			}
			for _, d := range v.Status.GetDevices() {
				if d.GetAssetId() == "home-1-battery" {
					note = d.GetSetpoint().GetNote()
				}
			}
			if ok(charges, note, v.Status.GetSpoolError()) {
				return
			}
			if charges && what != "that it charges" {
				t.Fatalf("it charges on behalf of epoch %d", epoch)
			}
			sequence++
			w.peer.Command(&allmendev1.Setpoint{
				AssetId: "home-1-battery", PowerMilliwatts: int64(-energy.Kilowatt), StampMs: last.GetStampMs(), TimeToLiveMs: 10 * 60_000, Epoch: epoch, Sequence: sequence,
			})
		}
		t.Fatalf("%s: never came", what)
	}
	command(7, "that it is refused on a full disk", func(_ bool, note, _ string) bool { return strings.Contains(note, "epoch 7 can't be kept") })
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	command(7, "that it charges", func(charges bool, _, problem string) bool { return charges && problem == "" })
	stop()
	w.gone()
	w.peer.Epoch = 3 // of a coordinator that was replaced and does not know it
	defer w.gateway(bounds)()
	v := w.peer.Wait(w.ctx, t, "another greeting", func(v uplinktest.View) bool { return v.Streams == 1 })
	if heard := v.Hello[len(v.Hello)-1].GetHighestEpoch(); heard != 7 {
		t.Errorf("after the restart it says it heard of %d", heard)
	}
	command(3, "that an earlier owner is refused after a restart", func(_ bool, note, _ string) bool {
		return strings.Contains(note, "lower epoch (7 is in force)")
	})
}

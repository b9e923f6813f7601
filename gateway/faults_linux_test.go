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
				c.Modbus.Timeout = 200 * time.Millisecond
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

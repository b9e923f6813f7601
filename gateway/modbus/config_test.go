// SPDX-License-Identifier: AGPL-3.0-or-later

package modbus

import (
	"strings"
	"testing"
	"time"
)

func TestAddressesThatAreTaken(t *testing.T) {
	for url, want := range map[string]target{
		"tcp://host:502":                    {scheme: "tcp", address: "host:502"},
		"tcp://[fe80::1%25eth0]:502":        {scheme: "tcp", address: "[fe80::1%eth0]:502"},
		"udp://10.0.0.1:1502":               {scheme: "udp", address: "10.0.0.1:1502"},
		"rtu:///dev/ttyUSB0":                {scheme: "rtu", address: "/dev/ttyUSB0", serial: Serial{9600, 8, "N", 1}},
		"rtuovertcp://host:4196":            {scheme: "rtuovertcp", address: "host:4196", serial: Serial{9600, 8, "N", 1}},
		"rtuovertcp://host:1?baud=115200":   {scheme: "rtuovertcp", address: "host:1", serial: Serial{115200, 8, "N", 1}},
		"tcp+tls://h:802?ca=a&cert=b&key=c": {scheme: "tcp+tls", address: "h:802", tls: TLS{"a", "b", "c"}},
		"rtu:///dev/serial/by-id/usb-x?baud=19200&parity=e&stop=2&data=8": {
			scheme: "rtu", address: "/dev/serial/by-id/usb-x", serial: Serial{19200, 8, "E", 2},
		},
	} {
		got, err := Config{URL: url}.target()
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v", url, got, err)
		}
	}
	both := Config{URL: "rtu:///dev/ttyS0?baud=19200", Serial: Serial{Baud: 19200, Parity: "E"}}
	if got, err := both.target(); err != nil || got.serial != (Serial{19200, 8, "E", 1}) {
		t.Errorf("settings in both places: %+v, %v", got, err)
	}
}

// Each refusal names what is wrong and how to write it.
func TestRefusalsTeach(t *testing.T) {
	for _, c := range []struct {
		cfg   Config
		names []string
	}{
		{Config{URL: "modbus://host:502"}, []string{"tcp://host:port", "rtu:///dev/ttyUSB0"}},
		{Config{URL: "tcp://host"}, []string{"host:port", "192.168.1.20:502"}},
		{Config{URL: "tcp://host:0"}, []string{"host:port"}},
		{Config{URL: "tcp://host:502/1"}, []string{`"/1"`}},
		{Config{URL: "tcp://host:502#1"}, []string{"#"}},
		{Config{URL: "tcp://me:secret@host:502"}, []string{"users"}},
		{Config{URL: "tcp://host:502?unit=1"}, []string{"no settings", `"unit"`}},
		{Config{URL: "tcp://host:502", Serial: Serial{Baud: 9600}}, []string{"no serial settings", "rtu://"}},
		{Config{URL: "tcp://host:502", TLS: TLS{CAFile: "x"}}, []string{"not encrypted", "tcp+tls://"}},
		{Config{URL: "rtu://ttyUSB0"}, []string{"three slashes", "rtu:///dev/ttyUSB0"}},
		{Config{URL: "rtu:///dev/ttyUSB0?baud=9601"}, []string{"baud=9601", "19200"}},
		{Config{URL: "rtu:///dev/ttyUSB0?baud=fast"}, []string{"baud", "whole number"}},
		{Config{URL: "rtu:///dev/ttyUSB0?baud="}, []string{"baud", "one value"}},
		{Config{URL: "rtu:///dev/ttyUSB0?baud=9600&baud=19200"}, []string{"baud", "one value"}},
		{Config{URL: "rtu:///dev/ttyUSB0?parity=even"}, []string{"parity", "E (even)"}},
		{Config{URL: "rtu:///dev/ttyUSB0?stop=3"}, []string{"stop=3", "1 or 2"}},
		{Config{URL: "rtu:///dev/ttyUSB0?data=7"}, []string{"data=7", "ASCII"}},
		{Config{URL: "rtu:///dev/ttyUSB0?speed=9600"}, []string{`"speed"`, "baud, data, parity, stop"}},
		{Config{URL: "rtu:///dev/ttyUSB0?baud=9600", Serial: Serial{Baud: 19200}}, []string{"baud", "9600", "19200", "leave one out"}},
		{Config{URL: "rtu:///dev/ttyUSB0?parity=N", Serial: Serial{Parity: "E"}}, []string{"parity", "leave one out"}},
		{Config{URL: "tcp+tls://host:802"}, []string{"ca", "authority"}},
		{Config{URL: "tcp+tls://host:802?ca=a"}, []string{"cert", "our own"}},
		{Config{URL: "tcp+tls://host:802?ca=a&cert=b"}, []string{"key"}},
		{Config{URL: "tcp+tls://host:802?ca=a&cert=b&key=c", TLS: TLS{CAFile: "x"}}, []string{"ca", "leave one out"}},
		{Config{URL: "tcp://host:502", Quiet: time.Hour}, []string{"quiet", "1m0s"}},
		{Config{URL: "tcp://host:502", IdleClose: -1}, []string{"idle close"}},
		{Config{URL: "tcp://host:502", Units: map[uint8]UnitConfig{7: {MaxRegisters: 126}}}, []string{"unit 7", "block limit", "125"}},
		{Config{URL: "tcp://host:502", Units: map[uint8]UnitConfig{7: {RequestGap: -1}}}, []string{"unit 7", "request gap"}},
	} {
		err := c.cfg.Validate()
		if err == nil {
			t.Errorf("%+v was taken", c.cfg)
			continue
		}
		for _, name := range c.names {
			if !strings.Contains(err.Error(), name) {
				t.Errorf("%s: %q does not say %q", c.cfg.URL, err, name)
			}
		}
	}
}

func TestTimesOfALine(t *testing.T) {
	if d := (Serial{9600, 8, "N", 1}).char(); d != 10*time.Second/9600 {
		t.Errorf("a character of 8N1 takes %s", d)
	}
	if d := (Serial{19200, 8, "E", 1}).char(); d != 11*time.Second/19200 {
		t.Errorf("a character of 8E1 takes %s", d)
	}
}

// Whatever stands in a URL, it is refused or taken apart; what is taken is complete.
func FuzzURL(f *testing.F) {
	for _, url := range []string{
		"tcp://host:502", "rtu:///dev/ttyUSB0?baud=9600&parity=N&stop=1", "tcp+tls://h:1?ca=a&cert=b&key=c",
		"udp://[::1]:5", "rtuovertcp://h:1?baud=1200", "tcp://%zz", "rtu:///?baud=%", "://", "tcp://h:502?;",
	} {
		f.Add(url)
	}
	f.Fuzz(func(t *testing.T, url string) {
		got, err := Config{URL: url}.target()
		if err != nil {
			if !strings.HasPrefix(err.Error(), "modbus url ") {
				t.Fatalf("%q: %v", url, err)
			}
			return
		}
		if got.address == "" || got.rtu() != (got.serial.check() == nil) || (got.scheme == schemeTLS) != (got.tls.KeyFile != "") {
			t.Fatalf("%q: %+v", url, got)
		}
	})
}

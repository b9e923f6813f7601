// SPDX-License-Identifier: AGPL-3.0-or-later

package scan

import (
	"errors"
	"strings"
	"testing"
)

func TestTargets(t *testing.T) {
	ports := []uint16{502, 1502}
	for what, want := range map[string]struct {
		hosts int
		first string
	}{
		"192.168.1.0/30":             {2, "tcp://192.168.1.1:502"},
		"192.168.1.77/24":            {254, "tcp://192.168.1.1:502"},
		"192.168.1.8/31":             {2, "tcp://192.168.1.8:502"},
		"192.168.1.8/32":             {1, "tcp://192.168.1.8:502"},
		"192.168.0.0/22":             {1022, "tcp://192.168.0.1:502"},
		"fd00::/126":                 {4, "tcp://[fd00::]:502"},
		"192.168.1.50":               {1, "tcp://192.168.1.50:502"},
		"tcp://inverter.local":       {1, "tcp://inverter.local:502"},
		"tcp://inverter.local:1502":  {1, "tcp://inverter.local:1502"},
		"[fd00::1]:502":              {1, "tcp://[fd00::1]:502"},
		"rtu:///dev/ttyUSB0?baud=1":  {1, "rtu:///dev/ttyUSB0?baud=1"},
		"rtuovertcp://10.0.0.1:4001": {1, "rtuovertcp://10.0.0.1:4001"},
	} {
		hosts, err := Targets(what, ports, false)
		if err != nil || len(hosts) != want.hosts || hosts[0].URLs[0] != want.first {
			t.Errorf("%s: %d hosts, %v, want %+v", what, len(hosts), err, want)
		}
	}
	if _, err := Targets("10.0.0.0/21", ports, false); !errors.Is(err, ErrLarge) {
		t.Error(err)
	}
	if hosts, err := Targets("10.0.0.0/21", ports, true); err != nil || len(hosts) != 2046 {
		t.Error(len(hosts), err)
	}
	for what, want := range map[string]string{
		"": "write a network", "10.0.0.0/8": "more than 65536", "::/0": "more than 65536", "10.0.0/24": "no network", "10.0.0.1:0": "1 to 65535", "tcp://": "write a network",
	} {
		if hosts, err := Targets(what, ports, true); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v %v", what, hosts, err)
		}
	}
}

func TestNumbers(t *testing.T) {
	if got, err := Numbers("1, 3-5,4", 0, 255); err != nil || len(got) != 4 || got[3] != 5 {
		t.Error(got, err)
	}
	for _, s := range []string{"", "a", "5-3", "256", "-1", "1,,2"} {
		if got, err := Numbers(s, 0, 255); err == nil {
			t.Errorf("%q: %v", s, got)
		}
	}
}

// SPDX-License-Identifier: AGPL-3.0-or-later

package gateway

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/allmende-energy/allmende/energy"
)

const whole1 = `coordinator: sun.example.org:9443
poll: 5s
stale_after: 30s
spool: {dir: /var/spool/allmende, keep_days: 50, max_mb: 64}
modbus: {timeout: 2s, connect_delay: 1500ms, request_gap: 50ms}
identity: id
devices:
  - {asset: roof-1, url: "tcp://10.0.0.5:502", unit: 1}
  - asset: battery-1
    url: tcp://10.0.0.5:502
    unit: 2
    read_only: true
    limits: {max_charge_w: 4600.5, max_discharge_w: 3000, min_soc_percent: 7.5, max_soc_percent: 95}
`

func TestDecode(t *testing.T) {
	c, err := Decode(filepath.Join("dir", "gateway.yaml"), []byte(whole1))
	if err != nil {
		t.Fatal(err)
	}
	l := c.Devices[1].Limits
	if c.Coordinator != "sun.example.org:9443" || c.Poll != 5*energy.Second || c.StaleAfter != 30*energy.Second ||
		c.Spool.Dir != "/var/spool/allmende" || c.Spool.Keep != 50*energy.Day || c.Spool.MaxBytes != 64<<20 ||
		c.Modbus.Timeout != 2*time.Second || c.Modbus.ConnectDelay != 1500*time.Millisecond || c.Modbus.RequestGap != 50*time.Millisecond ||
		c.Identity != filepath.Join("dir", "id") || c.Interval != quarter {
		t.Errorf("%+v", c)
	}
	if len(c.Devices) != 2 || !c.Devices[1].ReadOnly || l == nil || l.MaxCharge != 4_600_500 || l.MinSoC != 75 || l.MaxSoC != 950 {
		t.Errorf("%+v, %+v", c.Devices, l)
	}
}

// TestTemplate: what enrolment writes is a configuration.
func TestTemplate(t *testing.T) {
	text := strings.Replace(template, "%s", "127.0.0.1:9443", 1)
	if _, err := Decode("gateway.yaml", []byte(text)); err != nil {
		t.Error(err)
	}
	for _, field := range []string{"poll: 1s", "stale_after: 10s", "keep_days: 40", "max_mb: 512", "timeout: 1s"} {
		if !strings.Contains(text, field) {
			t.Errorf("the template does not say %s", field)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	device := "devices:\n  - {asset: a, url: \"tcp://h:502\", unit: 1}\n"
	for name, c := range map[string]struct {
		src  string
		want []string // all of them in the message
	}{
		"two devices on a unit": {
			"devices:\n  - asset: a\n    url: tcp://h:502\n    unit: 3\n  - asset: b\n    url: tcp://h:502\n    unit: 3\n",
			[]string{"gateway.yaml:7: devices[1].unit:", "line 4", "unit 3"},
		},
		"an asset twice": {
			"devices:\n  - {asset: a, url: \"tcp://h:502\", unit: 3}\n  - {asset: a, url: \"tcp://h:502\", unit: 4}\n",
			[]string{"gateway.yaml:3: devices[1].asset:", "line 2"},
		},
		"unknown field":       {device + "polls: 1s\n", []string{":3: polls: unknown field", "did you mean poll?"}},
		"unknown in a device": {"devices:\n  - {asset: a, url: \"tcp://h:502\", unit: 1, slave: 2}\n", []string{":2: devices[0].slave: unknown field", "read_only"}},
		"twice":               {device + "poll: 1s\npoll: 2s\n", []string{"gateway.yaml:4:", "poll: comes a second time (first in line 3)"}},
		"wrong type":          {device + "poll: [1s]\n", []string{":3: poll: a list stands where one value belongs"}},
		"not a time":          {device + "poll: 10\n", []string{":3: poll:", "such as 500ms"}},
		"poll":                {device + "poll: 7s\n", []string{":3: poll:", "divides 15m"}},
		"unit":                {"devices:\n  - {asset: a, url: \"tcp://h:502\", unit: 256}\n", []string{":2: devices[0].unit:", "0 to 255"}},
		"no unit":             {"devices:\n  - {asset: a, url: \"tcp://h:502\"}\n", []string{":2: devices[0].unit: missing"}},
		"url":                 {"devices:\n  - {asset: a, url: \"http://h\", unit: 1}\n", []string{":2: devices[0].url:"}},
		"asset":               {"devices:\n  - {asset: \"A b\", url: \"tcp://h:502\", unit: 1}\n", []string{":2: devices[0].asset:", "lower-case"}},
		"no devices":          {"poll: 1s\n", []string{"devices: 0 devices"}},
		"address":             {device + "coordinator: here\n", []string{":3: coordinator:", "host:port"}},
		"alias":               {"devices: &d\n  - {asset: a, url: \"tcp://h:502\", unit: 1}\n", []string{":1: devices:"}},
		"empty":               {"", []string{"gateway.yaml: empty"}},
		"syntax":              {"devices: [\n", []string{"gateway.yaml", "YAML"}},
		"two documents":       {device + "---\n" + device, []string{"second document"}},
		"limits":              {"devices:\n  - {asset: a, url: \"tcp://h:502\", unit: 1, limits: {min_soc_percent: 90, max_soc_percent: 10}}\n", []string{":2: devices[0].limits", "below"}},
		"deep":                {strings.Repeat("[", 50_000), []string{"nested too deep"}},
		"large":               {strings.Repeat("#", 1<<20+1), []string{"larger than"}},
	} {
		_, err := Decode("gateway.yaml", []byte(c.src))
		if _, ok := errors.AsType[Problems](err); !ok {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q lacks %q", name, err, want)
			}
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(whole1))
	f.Add([]byte(template))
	f.Add([]byte("devices:\n- {}\n- *a\n- !!int x\n"))
	f.Fuzz(func(t *testing.T, src []byte) {
		c, err := Decode("gateway.yaml", src)
		if err == nil && c.Validate() != nil {
			t.Fatalf("decoded, and not valid: %v", c.Validate())
		}
	})
}

// SPDX-License-Identifier: AGPL-3.0-or-later

package gateway

import (
	"path/filepath"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/internal/logs"
	"github.com/allmende-energy/allmende/internal/settings"
	"github.com/allmende-energy/allmende/internal/telemetry"
)

// Settings declares every setting of a gateway, for its documentation.
func Settings() settings.Set { return gatewaySettings(&Config{}, new([]deviceFile), ".") }

// DefaultSettings are those of a folder without a gateway.yaml.
func DefaultSettings(dir string) (*settings.Loaded, error) {
	return gatewaySettings(&Config{}, new([]deviceFile), dir).Load(settings.Sources{File: filepath.Join(dir, ConfigFile)})
}

// gatewaySettings are the settings, and where in c and devices each goes.
func gatewaySettings(c *Config, devices *[]deviceFile, dir string) settings.Set {
	return settings.Set{
		File: ConfigFile, Prefix: "ALLMENDE_GW_", Start: inEmptyFile,
		Parts: []settings.Part{
			{
				Title: "Gateway: coordinator and identity",
				Intro: "Whom the gateway belongs to. `allmende gateway enrol` writes both.",
				Keys: []settings.Key{
					{
						Name: "coordinator", Value: settings.Parsed(&c.Coordinator, "host and port", "", func(s string) (string, error) { return s, nil }), Default: DefaultCoordinator, Example: "sun.example.org:9443",
						Help: "The coordinator's listener for gateways. The gateway dials it, so that no port has to be opened where the gateway stands.",
					},
					{
						Name: "identity", Value: settings.Path(&c.Identity, dir), Default: identityDir,
						Help: "The folder of key and certificate. The gateway renews the certificate by itself, so it must be able to write there; the key never leaves it.",
					},
				},
			},
			devicesPart(c, devices),
			spoolPart(c, dir),
			modbusPart(c),
			{
				Title: "Gateway: logs and metrics",
				Intro: "What the gateway tells about itself: see docs/operations.md.",
				Keys:  append(logs.Keys(&c.Log), telemetry.Keys(&c.Metrics)...),
			},
		},
	}
}

func devicesPart(c *Config, devices *[]deviceFile) settings.Part {
	return settings.Part{
		Title: "Gateway: devices",
		Intro: "The devices that the gateway speaks to, and how often.",
		Keys: []settings.Key{
			{
				Name: "devices", Value: settings.Structured(devices, "list of devices"), Example: `[{asset: roof-1, url: "tcp://192.168.1.50:502", unit: 1}]`,
				Help: "The devices. Each has asset (its id in the community's register), url and unit; devices with the same url share one connection. read_only: true never commands it. limits (max_charge_w, max_discharge_w, min_soc_percent, max_soc_percent) are the gateway's own, on top of the device's rating.",
			},
			{
				Name: "poll", Value: settings.Parsed(&c.Poll, "time", "from 100ms on, a divisor of 15m", parsePeriod), Default: DefaultPoll.String(), Example: "5s",
				Help: "The time between two readings of a device. It divides a quarter-hour, so that readings fall on the ends of intervals.",
			},
			{
				Name: "stale_after", Value: settings.Parsed(&c.StaleAfter, "time", "one poll to 24h", parsePeriod), Example: "30s",
				Help: "A value this old is no longer the present. Where it is missing that is ten seconds, or three polls where those take longer.",
			},
		},
	}
}

func spoolPart(c *Config, dir string) settings.Part {
	const mostDays, mostMiB = 3650, 4 << 20
	var days, size int
	return settings.Part{
		Title: "Gateway: spool",
		Intro: "Samples of meters on their way to the coordinator. They stay after it has them, so that a coordinator that was restored from a backup gets them again.",
		Keys: []settings.Key{
			{
				Name: "spool.dir", Value: settings.Path(&c.Spool.Dir, dir), Default: spoolDir,
				Help: "The folder of the samples, on a disk that keeps what was written to it.",
			},
			{
				Name: "spool.keep_days", Default: "40", Example: "60",
				Value: settings.Number(&days, 1, mostDays).Then(func() error {
					c.Spool.Keep = energy.Span(days) * energy.Day
					return nil
				}),
				Help: "How many days samples stay after the coordinator has them.",
			},
			{
				Name: "spool.max_mb", Default: "512", Example: "64",
				Value: settings.Number(&size, 2, mostMiB).Then(func() error {
					c.Spool.MaxBytes = int64(size) << 20
					return nil
				}),
				Help: "The most that the samples take, in MiB; a device takes about 20 KiB a day. What the coordinator has goes first.",
			},
		},
	}
}

func modbusPart(c *Config) settings.Part {
	m := &c.Modbus
	return settings.Part{
		Title: "Gateway: Modbus",
		Intro: "How patient the gateway is with devices.",
		Keys: []settings.Key{
			{
				Name: "modbus.timeout", Value: settings.Parsed(&m.Timeout, "time", "10ms to 1m", parseWait), Default: DefaultTimeout.String(), Example: "2s",
				Help: "How long one question and its answer may take. After that the connection is opened anew, as a late answer would be taken for the next one.",
			},
			{
				Name: "modbus.connect_delay", Value: settings.Parsed(&m.ConnectDelay, "time", "0s to 1m", parseWait), Default: "0s", Example: "1500ms",
				Help: "The quiet that devices need after connecting. Huawei's need 1500ms.",
			},
			{
				Name: "modbus.request_gap", Value: settings.Parsed(&m.RequestGap, "time", "0s to 10s", parseWait), Default: "0s", Example: "50ms",
				Help: "The quiet that devices need between two questions.",
			},
		},
	}
}

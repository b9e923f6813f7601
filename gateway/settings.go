// SPDX-License-Identifier: AGPL-3.0-or-later

package gateway

import (
	"fmt"
	"math"
	"path/filepath"
	"strconv"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/guard"
	"github.com/allmende-energy/allmende/internal/logs"
	"github.com/allmende-energy/allmende/internal/settings"
	"github.com/allmende-energy/allmende/internal/telemetry"
)

// Settings declares every setting of a gateway, for its documentation.
func Settings() settings.Set {
	return gatewaySettings(&Config{}, new([]deviceFile), new([]contactFile), ".")
}

// DefaultSettings are those of a folder without a gateway.yaml.
func DefaultSettings(dir string) (*settings.Loaded, error) {
	return gatewaySettings(&Config{}, new([]deviceFile), new([]contactFile), dir).Load(settings.Sources{File: filepath.Join(dir, ConfigFile)})
}

// gatewaySettings are the settings, and where in c and devices each goes.
func gatewaySettings(c *Config, devices *[]deviceFile, contacts *[]contactFile, dir string) settings.Set {
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
			devicesPart(c, devices, dir),
			controlPart(c, contacts),
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

func devicesPart(c *Config, devices *[]deviceFile, dir string) settings.Part {
	return settings.Part{
		Title: "Gateway: devices",
		Intro: "The devices that the gateway speaks to, and how often.",
		Keys: []settings.Key{
			{
				Name: "devices", Value: settings.Structured(devices, "list of devices"), Example: `[{asset: roof-1, url: "tcp://192.168.1.50:502", unit: 1}]`,
				Help: "The devices. Each has asset (its id in the community's register), url and unit; devices with the same url share one connection. profile names the description it is read by (without, the device is asked what it is) and kind which of its parts is meant (meter, inverter, battery, charger, heat_pump, contact): a hybrid stands there twice. read_only: true never commands it. fallback is what a battery does while no setpoint is in force: release (or self_consumption) leaves it to itself, zero (or hold) keeps it at 0 W. waiver is the line that \"allmende gateway waiver\" prints, for a device that never comes back to itself. connect_delay, request_gap (times) and max_registers are for a device that needs more patience than its profile says. limits are the gateway's own, on top of the device's rating, and nobody else can widen them: max_charge_w, max_discharge_w, min_soc_percent, max_soc_percent, soc_hysteresis_percent (2 where it is missing), capacity_kwh, ramp_w_per_s of a battery; max_feed_in_w or max_feed_in_percent, offline_feed_in_w (while no coordinator is there) and rated_w of an inverter; max_load_w, offline_load_w, min_load_w (below, it pauses), min_run and min_pause (times) of a charger or heat pump, and rated_w of one that can only be blocked or let go: what it draws at most, below which a limit blocks it. See docs/control.md.",
			},
			{
				Name: "profiles", Value: settings.Path(&c.ProfilesDir, dir), Example: "profiles",
				Help: "A folder of profiles of your own, *.yaml. One with the name of a profile that comes with the program takes its place.",
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

// controlPart is what the gateway must know to protect the house.
func controlPart(c *Config, contacts *[]contactFile) settings.Part {
	var keys []string
	degrees := func(into **float64) settings.Value {
		return settings.Parsed(into, "degrees", "", parseDegrees)
	}
	return settings.Part{
		Title: "Gateway: protection",
		Intro: "What the gateway must know beside its devices in order to protect the house: see docs/control.md.",
		Keys: []settings.Key{
			{
				Name: "site.latitude", Value: degrees(&c.latitude), Example: "48.2",
				Help: "Where the devices stand, in degrees, north positive. With it an inverter that does not answer while the sun is down counts as asleep, not as broken.",
			},
			{
				Name: "site.longitude", Value: degrees(&c.longitude), Example: "16.4",
				Help: "The other half of the place, east positive.",
			},
			{
				Name: "grid_operator", Value: settings.Structured(contacts, "list of contacts"),
				Example: `[{contact: ripple-1, draw_w: 4200, devices: [wallbox-1]}]`,
				Help:    "Limits of the grid operator that come as a digital contact. Each has contact (a device of kind contact), limited and free (its two states where they are not named limit and free), devices, and for each of them draw_w (the most that a load or a charging battery takes), feed_in_percent (the most that an inverter gives; 0 stops it), or both. While the contact can't be read for longer than heartbeat (2m where it is missing), failsafe_draw_w (4200) holds for the time hold (2h), and then nothing does.",
			},
			{
				Name: "waiver_keys", Example: "ed25519:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
				Value: settings.ListOf(&keys, "list of keys", func(s string) error {
					_, err := guard.ParseKey(s)
					return err
				}).Then(func() error {
					for _, text := range keys {
						key, err := guard.ParseKey(text)
						if err != nil {
							return err
						}
						c.WaiverKeys = append(c.WaiverKeys, key)
					}
					return nil
				}),
				Help: "Whose signature counts under a waiver: the public keys that \"allmende gateway waiver\" printed.",
			},
		},
	}
}

// parseDegrees reads an angle.
func parseDegrees(s string) (*float64, error) {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(v) || v < -180 || v > 180 {
		return nil, fmt.Errorf("%.40q: write degrees such as 48.2", s)
	}
	return &v, nil
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
			{
				Name: "modbus.unit_gap", Value: settings.Parsed(&m.UnitGap, "time", "0s to 10s", parseWait), Default: "0s", Example: "25ms",
				Help: "The quiet before a question to another unit on the same line. 25ms cures many shared serial lines.",
			},
			{
				Name: "modbus.idle_close", Value: settings.Parsed(&m.IdleClose, "time", "0s to 24h", parseWait), Default: "0s", Example: "5s",
				Help: "Give a connection back when nothing was asked for so long, so that other software can use a device that takes one client; 0s: never.",
			},
		},
	}
}

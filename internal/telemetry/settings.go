// SPDX-License-Identifier: AGPL-3.0-or-later

package telemetry

import (
	"strings"

	"github.com/allmende-energy/allmende/internal/settings"
)

// Config is where counters are shown, besides a coordinator's web listener.
type Config struct {
	Listen string // empty: nowhere
}

// Keys are the settings of the counters, the same for a coordinator and for a gateway.
func Keys(c *Config) []settings.Key {
	var address string
	return []settings.Key{{
		Name: "metrics.listen", Value: settings.Address(&address).Then(func() error {
			c.Listen = address
			if strings.HasPrefix(address, ":") {
				c.Listen = "127.0.0.1" + address
			}
			return nil
		}), Example: "127.0.0.1:9464",
		Help: "A listener for the counters alone, without login and without encryption. They tell of gateways and of the program, and of no member, so that a monitoring system in the same network may read them here. Without a host it is this computer alone. Where the setting is missing there is no such listener.",
	}}
}

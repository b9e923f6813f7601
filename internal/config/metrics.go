// SPDX-License-Identifier: AGPL-3.0-or-later

package config

import (
	"strings"

	"github.com/allmende-energy/allmende/internal/settings"
)

// Metrics is where counters are shown, besides the web listener.
type Metrics struct {
	Listen string // empty: nowhere
}

func metricsPart(s *Serve) settings.Part {
	return settings.Part{
		Title: "Metrics",
		Intro: "Counters for Prometheus. The web listener always serves them at /metrics to those who may read them, such as a program with a token of the scope monitoring; see docs/operations.md.",
		Keys:  MetricsKeys(&s.Metrics),
	}
}

// MetricsKeys are the same for a coordinator and for a gateway.
func MetricsKeys(m *Metrics) []settings.Key {
	var address string
	return []settings.Key{{
		Name: "metrics.listen", Value: settings.Address(&address).Then(func() error {
			m.Listen = address
			if strings.HasPrefix(address, ":") {
				m.Listen = "127.0.0.1" + address
			}
			return nil
		}), Example: "127.0.0.1:9464",
		Help: "A listener for the counters alone, without login and without encryption. They tell of gateways and of the program, and of no member, so that a monitoring system in the same network may read them here. Without a host it is this computer alone. Where it is missing there is no such listener.",
	}}
}

// SPDX-License-Identifier: AGPL-3.0-or-later

package config

import (
	"github.com/allmende-energy/allmende/internal/logs"
	"github.com/allmende-energy/allmende/internal/settings"
	"github.com/allmende-energy/allmende/internal/telemetry"
	"github.com/allmende-energy/allmende/internal/tracing"
)

func logPart(s *Serve) settings.Part {
	return settings.Part{
		Title: "Logs",
		Intro: "What the program writes about itself, on standard error. It never holds a password, a token, a key, or a member's readings.",
		Keys:  logs.Keys(&s.Log),
	}
}

func metricsPart(s *Serve) settings.Part {
	return settings.Part{
		Title: "Metrics",
		Intro: "Counters for Prometheus. The web listener always serves them at /metrics to those who may read them, such as a program with a token of the scope monitoring; see docs/operations.md.",
		Keys:  telemetry.Keys(&s.Metrics),
	}
}

func tracesPart(s *Serve) settings.Part {
	return settings.Part{
		Title: "Traces",
		Intro: "How long single requests, commits and settlements took, for a collector of OpenTelemetry. Traces name methods and gateways, and no member.",
		Keys:  tracing.Keys(&s.Traces),
	}
}

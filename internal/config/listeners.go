// SPDX-License-Identifier: AGPL-3.0-or-later

package config

import (
	"net"
	"strings"

	"github.com/allmende-energy/allmende/internal/settings"
)

func webPart(s *Serve) settings.Part {
	return settings.Part{
		Title: "Page and REST",
		Intro: "The page, and REST for programs. 127.0.0.1 means: this computer alone. To let your neighbours see the page, put a web server with TLS in front of it and write the name that they open under names.",
		Keys: []settings.Key{
			{
				Name: "http.listen", Value: settings.Address(&s.HTTP.Listen), Default: DefaultHTTP, Example: "192.168.1.10:8080", Written: true,
				Help: "Where the page and REST are served. Port 0 takes any that is free, and `allmende serve` says which.",
			},
			{
				Name: "http.names", Value: settings.HostNames(&s.HTTP.Names), Example: "sun.example.org",
				Help: "The names by which browsers may address this computer, besides loopback and the address itself. Requests for other names are refused, as a stranger's name that points here would let his page read yours.",
			},
		},
	}
}

func grpcPart(s *Serve) settings.Part {
	return settings.Part{
		Title: "gRPC",
		Intro: "gRPC for programs on this computer.",
		Keys: []settings.Key{{
			Name: "grpc.listen", Value: settings.Address(&s.GRPC.Listen), Default: DefaultGRPC, Written: true,
			Help: "Where gRPC for programs is served, with reflection and health.",
		}},
		Check: func(report settings.Report) { s.checkPorts(report) },
	}
}

func gatewaysPart(s *Serve) settings.Part {
	return settings.Part{
		Title: "Gateways",
		Intro: "Where gateways connect, each with the certificate that it got when it was enrolled. Gateways elsewhere in the network need an address of this computer:\n" +
			"  listen: 0.0.0.0:9443\n" +
			"  address: 192.168.1.10:9443",
		Keys: append([]settings.Key{
			{
				Name: "gateways.listen", Value: settings.Address(&s.Gateways.Listen), Default: DefaultGateways, Example: "0.0.0.0:9443", Written: true,
				Help: "Where gateways connect. The connection is always encrypted, and each side shows a certificate of the community's own authority.",
			},
			{
				Name: "gateways.address", Value: settings.Address(&s.GatewayAddress), Example: "192.168.1.10:9443",
				Help: "What gateways dial. It is written into enrolment tokens. Where it is missing they dial the address that the listener is bound to.",
			},
			{
				Name: "gateways.names", Value: settings.HostNames(&s.Gateways.Names), Example: "coordinator.example.org",
				Help: "Other names and addresses by which gateways may reach this computer. They go into its certificate.",
			},
		}, certificateKeys(s)...),
		Check: func(report settings.Report) {
			if s.GatewayAddress == "" && anywhere(s.Gateways.Listen) {
				report("gateways.address", "missing: the listener takes gateways on every network of this computer, so write the host and port that they dial, such as 192.168.1.10:9443")
			}
		},
	}
}

// checkPorts finds listeners that would take each other's place.
func (s *Serve) checkPorts(report settings.Report) {
	taken := map[string]bool{}
	for _, l := range []struct{ name, listen string }{
		{"http.listen", s.HTTP.Listen}, {"grpc.listen", s.GRPC.Listen}, {"gateways.listen", s.Gateways.Listen},
	} {
		if l.listen == "" || strings.HasSuffix(l.listen, ":0") {
			continue
		}
		if taken[l.listen] {
			report(l.name, "%s is taken by another listener of this file: give each a port of its own", l.listen)
		}
		taken[l.listen] = true
	}
}

// anywhere says whether an address listens on every network.
func anywhere(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "" || ip != nil && ip.IsUnspecified()
}

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
		Intro: "The page, and REST for programs. 127.0.0.1 means: this computer alone. To let your neighbours see the page, listen on this computer's address in the network, name a certificate, and write the name that they open under names.",
		Keys: append([]settings.Key{
			{
				Name: "http.listen", Value: settings.Address(&s.HTTP.Listen), Default: DefaultHTTP, Example: "192.168.1.10:8443", Written: true,
				Help: "Where the page and REST are served. Port 0 takes any that is free, and `allmende serve` says which. An address that other computers reach needs a certificate, or a web server in front that has one.",
			},
			{
				Name: "http.names", Value: settings.HostNames(&s.HTTP.Names), Example: "sun.example.org",
				Help: "The names by which browsers may address this computer, besides loopback and the address itself. Requests for other names are refused, as a stranger's name that points here would let his page read yours. The names under acme.domains are among them.",
			},
			{
				Name: "http.redirect", Value: settings.Address(&s.Redirect), Example: "0.0.0.0:80",
				Help: "Where callers without encryption are told to come to http.listen instead. An authority's questions for a certificate are answered there too.",
			},
		}, tlsKeys(s, "http", &s.HTTP)...),
		Check: func(report settings.Report) {
			s.checkTLS("http", &s.HTTP, report)
			if s.Redirect != "" && !s.HTTP.TLS.On() {
				report("http.redirect", "there is nowhere encrypted to lead to: name a certificate under http.tls, or leave this out")
			}
		},
	}
}

func grpcPart(s *Serve) settings.Part {
	return settings.Part{
		Title: "gRPC",
		Intro: "gRPC for programs on this computer; with a certificate, for others too.",
		Keys: append([]settings.Key{{
			Name: "grpc.listen", Value: settings.Address(&s.GRPC.Listen), Default: DefaultGRPC, Example: "192.168.1.10:9090", Written: true,
			Help: "Where gRPC for programs is served, with reflection and health. An address that other computers reach needs a certificate.",
		}}, tlsKeys(s, "grpc", &s.GRPC)...),
		Check: func(report settings.Report) {
			s.checkTLS("grpc", &s.GRPC, report)
			s.checkPorts(report)
		},
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
		{"http.listen", s.HTTP.Listen}, {"http.redirect", s.Redirect}, {"grpc.listen", s.GRPC.Listen}, {"gateways.listen", s.Gateways.Listen}, {"metrics.listen", s.Metrics.Listen},
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

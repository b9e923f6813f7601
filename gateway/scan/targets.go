// SPDX-License-Identifier: AGPL-3.0-or-later

package scan

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Bounds of what may be named.
const (
	// PoliteHosts is how many addresses a scan takes without being told twice:
	// a /22.
	PoliteHosts = 1024
	mostHosts   = 1 << 16
)

// ErrLarge says that more than [PoliteHosts] addresses were named.
var ErrLarge = errors.New("a large network")

// DefaultPorts are where Modbus TCP is found: its own port, that of Kostal and
// SolarEdge, and two that simulators and proxies like.
func DefaultPorts() []uint16 { return []uint16{502, 1502, 5020, 8899} }

// DefaultUnits are the unit ids that devices leave the factory with: SMA uses 3
// and 126, Kostal 71, Victron 100, SMA's inverters 126 and up, Sunny Island 240,
// GoodWe 247.
func DefaultUnits() []uint8 { return []uint8{1, 2, 3, 71, 100, 126, 240, 247} }

// Host is one computer or line, with the addresses to try one after the other.
type Host struct {
	Name string
	URLs []string
}

// Targets turns what somebody named into hosts: a network (192.168.1.0/24), an
// address or name, with or without tcp:// and port, or the URL of a serial line.
// There is no default: whoever scans names what is scanned.
func Targets(what string, ports []uint16, large bool) ([]Host, error) {
	const form = "write a network such as 192.168.1.0/24, a device such as tcp://192.168.1.50, or a line such as rtu:///dev/ttyUSB0?baud=9600"
	scheme, rest, hasScheme := strings.Cut(what, "://")
	if hasScheme && scheme != "tcp" {
		return []Host{{Name: what, URLs: []string{what}}}, nil
	}
	if !hasScheme {
		rest = what
	}
	if strings.Contains(rest, "/") {
		return network(rest, ports, large)
	}
	name, port := rest, ""
	if h, p, err := net.SplitHostPort(rest); err == nil {
		name, port = h, p
	}
	name = strings.Trim(name, "[]")
	if name == "" {
		return nil, fmt.Errorf("no target in %.60q: %s", what, form)
	}
	if port == "" {
		return []Host{host(name, ports)}, nil
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return nil, fmt.Errorf("port %.20q in %.60q: write a number from 1 to 65535", port, what)
	}
	return []Host{host(name, []uint16{uint16(n)})}, nil
}

func host(name string, ports []uint16) Host {
	h := Host{Name: name}
	for _, p := range ports {
		h.URLs = append(h.URLs, "tcp://"+net.JoinHostPort(name, strconv.Itoa(int(p))))
	}
	return h
}

func network(s string, ports []uint16, large bool) ([]Host, error) {
	prefix, err := netip.ParsePrefix(s)
	if err != nil {
		return nil, fmt.Errorf("%.60q is no network: write one such as 192.168.1.0/24", s)
	}
	prefix = prefix.Masked()
	bits := prefix.Addr().BitLen() - prefix.Bits()
	n := math.Exp2(float64(bits))
	switch {
	case n > mostHosts:
		return nil, fmt.Errorf("%s has more than %d addresses: name a part of it, such as %s/24", prefix, mostHosts, prefix.Addr())
	case n > PoliteHosts && !large:
		return nil, fmt.Errorf("%w: %s has %.0f addresses, and each is knocked at on %d ports: name a part of it, or say --yes if it is yours", ErrLarge, prefix, n, len(ports))
	}
	var hosts []Host
	for a := prefix.Addr(); a.IsValid() && prefix.Contains(a); a = a.Next() {
		hosts = append(hosts, host(a.String(), ports))
	}
	if prefix.Addr().Is4() && bits > 1 { // neither the network's own address nor the broadcast
		hosts = hosts[1 : len(hosts)-1]
	}
	return hosts, nil
}

// Numbers reads a list such as 1,2,10-20, each number from least to most.
func Numbers(s string, least, most int) ([]int, error) {
	var out []int
	for part := range strings.SplitSeq(s, ",") {
		a, b, isRange := strings.Cut(strings.TrimSpace(part), "-")
		if !isRange {
			b = a
		}
		first, err := strconv.Atoi(a)
		last, err2 := strconv.Atoi(b)
		if err != nil || err2 != nil || first < least || last > most || first > last {
			return nil, fmt.Errorf("%.40q: write numbers from %d to %d, such as %d,%d or %d-%d", s, least, most, least+1, least+2, least+1, least+9)
		}
		for n := first; n <= last; n++ {
			if !slices.Contains(out, n) {
				out = append(out, n)
			}
		}
	}
	return out, nil
}

// SPDX-License-Identifier: AGPL-3.0-or-later

package config

import (
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/allmende-energy/allmende/energy"
)

// kwh is an amount of energy, written in kilowatt-hours.
type kwh energy.Energy

func (k *kwh) scan(text string) error {
	e, err := energy.ParseKWh(text)
	if err != nil {
		return fmt.Errorf("%.40q is no number of kilowatt-hours: write it as 9.6", text)
	}
	*k = kwh(e)
	return nil
}

// watts is a power, written in watts.
type watts energy.Power

func (w *watts) scan(text string) error {
	p, err := energy.ParseWatts(text)
	if err != nil {
		return fmt.Errorf("%.40q is no number of watts: write it as 5000", text)
	}
	*w = watts(p)
	return nil
}

// permille is a percentage with at most one decimal.
type permille int64

func (p *permille) scan(text string) error {
	v, err := percentage(text, 1)
	*p = permille(v)
	return err
}

// millionths is a percentage with at most four decimals.
type millionths int64

func (m *millionths) scan(text string) error {
	v, err := percentage(text, 4)
	*m = millionths(v)
	return err
}

// percentage reads a number with at most so many decimals, in units of its
// last decimal. The parser of kilowatt-hours has six.
func percentage(text string, decimals int) (int64, error) {
	v, err := energy.ParseKWh(text)
	unit := int64(1)
	for range 6 - decimals {
		unit *= 10
	}
	if err != nil || int64(v)%unit != 0 {
		return 0, fmt.Errorf("%.40q is no percentage with at most %d decimals: write it as 95", text, decimals)
	}
	return int64(v) / unit, nil
}

// degrees is kept as text: no position is ever booked, and none passes a float.
type degrees string

func (d *degrees) scan(text string) error {
	*d = degrees(text)
	return nil
}

// span is a length of time such as 1s or 15m.
type span energy.Span

func (s *span) scan(text string) error {
	return (*energy.Span)(s).UnmarshalText([]byte(text))
}

// address is host:port to listen on or to dial.
type address string

func (a *address) scan(text string) error {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return fmt.Errorf("%.80q is no address: write host and port, such as 127.0.0.1:8080", text)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("%.80q: the port is a number from 0 (any that is free) to 65535, not %q", text, port)
	} else {
		port = strconv.FormatUint(n, 10)
	}
	if strings.ContainsAny(host, " /@") {
		return fmt.Errorf("%.80q: the host is a name or an IP address", text)
	}
	*a = address(net.JoinHostPort(host, port))
	return nil
}

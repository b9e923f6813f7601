// SPDX-License-Identifier: AGPL-3.0-or-later

package wire

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// joinClose closes c after err.
func joinClose(err error, c io.Closer) error { return errors.Join(err, c.Close()) }

// Address is where a server listens.
type Address struct {
	scheme string // tcp, rtuovertcp, rtu or pty
	host   string // host:port of the TCP ones
	serial serialPort
}

type serialPort struct {
	path   string
	baud   int
	parity string // N, E or O
	stop   int
}

const howToAddress = "write host:port or tcp://host:port, rtuovertcp://host:port, rtu:///dev/ttyUSB0?baud=9600&parity=N&stop=1, " +
	"or pty: for a pseudo-terminal"

// ParseAddress reads an address. "host:port" and tcp:// mean Modbus TCP;
// rtuovertcp:// what a converter speaks; rtu:// a serial port with the settings
// baud, parity (N, E, O) and stop; "pty:" a pseudo-terminal pair, of which the
// other end's name is told by the server.
func ParseAddress(s string) (Address, error) {
	scheme, rest, found := strings.Cut(s, "://")
	switch {
	case s == "pty:":
		return Address{scheme: "pty"}, nil
	case !found:
		scheme, rest = "tcp", s
	}
	switch scheme {
	case "tcp", "rtuovertcp":
		if _, _, err := net.SplitHostPort(rest); err != nil {
			return Address{}, fmt.Errorf("%q is no address: %s", s, howToAddress)
		}
		return Address{scheme: scheme, host: rest}, nil
	case "rtu":
		port, err := parseSerial(s)
		if err != nil {
			return Address{}, fmt.Errorf("%q: %w", s, err)
		}
		return Address{scheme: "rtu", serial: port}, nil
	}
	return Address{}, fmt.Errorf("%q is no address: %s", s, howToAddress)
}

func parseSerial(s string) (serialPort, error) {
	u, err := url.Parse(s)
	if err != nil || u.Host != "" || len(u.Path) < 2 {
		return serialPort{}, errors.New("is no serial port: write rtu:///dev/ttyUSB0?baud=9600&parity=N&stop=1")
	}
	p := serialPort{path: u.Path, baud: 9600, parity: "N", stop: 1}
	for key, values := range u.Query() {
		v := values[len(values)-1]
		var err error
		switch key {
		case "baud":
			p.baud, err = strconv.Atoi(v)
		case "stop":
			p.stop, err = strconv.Atoi(v)
		case "parity":
			p.parity = v
		default:
			return p, fmt.Errorf("there is no setting %q: baud, parity and stop are known", key)
		}
		if err != nil {
			return p, fmt.Errorf("%s=%s is no number", key, v)
		}
	}
	if !strings.Contains("NEO", cmp.Or(p.parity, "?")) || len(p.parity) != 1 {
		return p, fmt.Errorf("parity=%s is none of N, E and O", p.parity)
	}
	if p.stop != 1 && p.stop != 2 {
		return p, fmt.Errorf("stop=%d is neither 1 nor 2", p.stop)
	}
	return p, nil
}

// Framing is how the address's transport frames.
func (a Address) Framing() Framing {
	if a.scheme == "tcp" {
		return MBAP
	}
	return RTU
}

// AnyPort says whether the system chooses where it is, so that two may be
// written alike.
func (a Address) AnyPort() bool { return a.scheme == "pty" || strings.HasSuffix(a.host, ":0") }

// SPDX-License-Identifier: AGPL-3.0-or-later

package modbus

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// schemes are the ways to reach a device.
const (
	schemeTCP        = "tcp"
	schemeTLS        = "tcp+tls"
	schemeUDP        = "udp"
	schemeRTU        = "rtu"
	schemeRTUOverTCP = "rtuovertcp"
)

// target is a Config's address, taken apart and checked.
type target struct {
	scheme  string
	address string // host:port, or the path of a serial port
	serial  Serial // of rtu and rtuovertcp
	tls     TLS    // of tcp+tls
}

// rtu says whether the line carries frames without transaction numbers.
func (t target) rtu() bool { return t.scheme == schemeRTU || t.scheme == schemeRTUOverTCP }

const howToWrite = "write it as tcp://host:port, tcp+tls://host:port, udp://host:port, " +
	"rtu:///dev/ttyUSB0?baud=9600&parity=N&stop=1 or rtuovertcp://host:port"

// target checks all of c.
func (c Config) target() (target, error) {
	t, err := c.parse()
	if err != nil {
		return target{}, fmt.Errorf("modbus url %q: %w", c.URL, err)
	}
	return t, c.checkTimes()
}

// Line is how bytes look on the serial line behind c's address; false where it
// is no serial line, or the address is not valid.
func (c Config) Line() (Serial, bool) {
	t, err := c.parse()
	return t.serial.withDefaults(), err == nil && t.rtu()
}

func (c Config) parse() (target, error) {
	u, err := url.Parse(c.URL)
	if err != nil {
		if inner, ok := errors.AsType[*url.Error](err); ok {
			err = inner.Err // without the address, which the caller names
		}
		return target{}, fmt.Errorf("%w; %s", err, howToWrite)
	}
	t := target{scheme: u.Scheme, address: u.Host}
	switch {
	case !slices.Contains([]string{schemeTCP, schemeTLS, schemeUDP, schemeRTU, schemeRTUOverTCP}, u.Scheme):
		return target{}, errors.New(howToWrite)
	case u.User != nil:
		return target{}, errors.New("devices know no users: leave out what stands before the @")
	case u.Fragment != "":
		return target{}, errors.New("leave out what stands behind the #")
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return target{}, fmt.Errorf("settings behind the question mark: %w", err)
	}
	if t.scheme == schemeRTU {
		if u.Host != "" || !strings.HasPrefix(u.Path, "/") || len(u.Path) < 2 {
			return target{}, errors.New("name the serial port with three slashes: rtu:///dev/ttyUSB0")
		}
		t.address = u.Path
	} else if err := checkHost(u); err != nil {
		return target{}, err
	}
	if err := t.settings(query, c); err != nil {
		return target{}, err
	}
	return t, nil
}

func checkHost(u *url.URL) error {
	if u.Path != "" {
		return fmt.Errorf("leave out %q behind the port", u.Path)
	}
	host, port, err := net.SplitHostPort(u.Host)
	n, convErr := strconv.ParseUint(port, 10, 16)
	if err != nil || host == "" || convErr != nil || n == 0 {
		return fmt.Errorf("write it as %s://host:port, such as %s://192.168.1.20:502", u.Scheme, u.Scheme)
	}
	return nil
}

// settings takes the query and what c adds; each may name a thing, but not two different ones.
func (t *target) settings(query url.Values, c Config) error {
	allowed := map[string][]string{
		schemeRTU: {"baud", "data", "parity", "stop"}, schemeRTUOverTCP: {"baud", "data", "parity", "stop"},
		schemeTLS: {"ca", "cert", "key"},
	}[t.scheme]
	for name, values := range query {
		if !slices.Contains(allowed, name) {
			if len(allowed) == 0 {
				return fmt.Errorf("%s has no settings: leave out %q", t.scheme, name)
			}
			return fmt.Errorf("no setting is called %q; %s has %s", name, t.scheme, strings.Join(allowed, ", "))
		}
		if len(values) != 1 || values[0] == "" {
			return fmt.Errorf("setting %s: give it one value", name)
		}
	}
	if t.rtu() {
		return t.serialSettings(query, c.Serial)
	}
	if c.Serial != (Serial{}) {
		return fmt.Errorf("%s has no serial settings: leave them out, or use rtu:// or rtuovertcp://", t.scheme)
	}
	if t.scheme == schemeTLS {
		return t.tlsSettings(query, c.TLS)
	}
	if c.TLS != (TLS{}) {
		return fmt.Errorf("certificates are named, but %s:// is not encrypted: write tcp+tls://", t.scheme)
	}
	return nil
}

func (t *target) serialSettings(query url.Values, more Serial) error {
	number := func(name string, other int) (int, error) {
		text := query.Get(name)
		if text == "" {
			return other, nil
		}
		n, err := strconv.Atoi(text)
		if err != nil {
			return 0, fmt.Errorf("setting %s=%q: write a whole number", name, text)
		}
		if other != 0 && other != n {
			return 0, fmt.Errorf("setting %s is %d here and %d elsewhere in the configuration: leave one out", name, n, other)
		}
		return n, nil
	}
	var errs [3]error
	more.Baud, errs[0] = number("baud", more.Baud)
	more.DataBits, errs[1] = number("data", more.DataBits)
	more.StopBits, errs[2] = number("stop", more.StopBits)
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	if p := strings.ToUpper(query.Get("parity")); p != "" {
		if more.Parity != "" && more.Parity != p {
			return fmt.Errorf("setting parity is %s here and %s elsewhere in the configuration: leave one out", p, more.Parity)
		}
		more.Parity = p
	}
	t.serial = more.withDefaults()
	return t.serial.check()
}

func (t *target) tlsSettings(query url.Values, more TLS) error {
	for _, f := range []struct {
		name, what string
		file       *string
	}{
		{"ca", "the authority that signed the device's certificate", &more.CAFile},
		{"cert", "our own certificate, which the device asks for", &more.CertFile},
		{"key", "the key of our own certificate", &more.KeyFile},
	} {
		if v := query.Get(f.name); v != "" {
			if *f.file != "" && *f.file != v {
				return fmt.Errorf("setting %s is %s here and %s elsewhere in the configuration: leave one out", f.name, v, *f.file)
			}
			*f.file = v
		}
		if *f.file == "" {
			return fmt.Errorf("setting %s is missing: it names the PEM file of %s", f.name, f.what)
		}
	}
	t.tls = more
	return nil
}

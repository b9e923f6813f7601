// SPDX-License-Identifier: AGPL-3.0-or-later

package modbus

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Config says how to reach a bus. The zero value of each duration takes the default.
type Config struct {
	// URL is one of
	//
	//	tcp://192.168.1.20:502
	//	tcp+tls://host:802?ca=FILE&cert=FILE&key=FILE
	//	udp://host:502
	//	rtu:///dev/ttyUSB0?baud=9600&data=8&parity=N&stop=1
	//	rtuovertcp://host:4196?baud=9600
	//
	// The last is for converters that pass the bytes of a serial line on as they
	// are; its serial settings only say how long a frame takes.
	URL string
	// Timeout bounds one exchange, and the wait for a connection; default 1 s.
	// On a serial line of known speed the time that the frames take comes on top.
	Timeout time.Duration
	// ConnectDelay is the quiet that the device needs after connecting
	// (Huawei: 1.5 s); default none.
	ConnectDelay time.Duration
	// RequestGap is the quiet that the device needs between requests; default none.
	RequestGap time.Duration
	// UnitGap is the quiet before a request to another unit than the last one:
	// 25 ms cures many shared lines; default none.
	UnitGap time.Duration
	// Quiet is how long a line without transaction numbers must be silent after
	// an answer that did not come, before the next request; default Timeout.
	Quiet time.Duration
	// IdleClose gives the connection back when nobody has asked for so long, so
	// that other software can use a device that takes one client; default never.
	IdleClose time.Duration
	// Serial has what the URL does not say.
	Serial Serial
	// TLS has what the URL does not say.
	TLS TLS
	// Units has what is different for single units.
	Units map[uint8]UnitConfig
	// Observe is told of each exchange, in the bus's own goroutine; nil: nobody is.
	Observe func(write bool, took time.Duration, err error)
}

// Serial says how bytes look on a serial line. Zero values take 9600 8N1, which
// most meters have when they leave the factory.
type Serial struct {
	Baud     int
	DataBits int    // 8: Modbus RTU has no other
	Parity   string // N, E or O
	StopBits int    // 1 or 2
}

// TLS names the files that secure a tcp+tls connection, in PEM.
type TLS struct {
	CAFile   string // who may have signed the device's certificate, or that certificate itself
	CertFile string // our own certificate, which the device asks for
	KeyFile  string
}

// UnitConfig is what one unit behind a bus needs.
type UnitConfig struct {
	// RequestGap replaces [Config.RequestGap] where it is longer.
	RequestGap time.Duration
	// MaxRegisters is the most that one read of this unit may ask for; 0: [MaxRead].
	MaxRegisters uint16
}

const (
	defaultTimeout = time.Second
	mostWait       = time.Minute // of each setting
	mostIdle       = 24 * time.Hour
)

// Validate says what is wrong with c, nil if nothing is.
func (c Config) Validate() error {
	_, err := c.target()
	return err
}

// MaxRead is how many registers one read of the unit may ask for.
func (b *Bus) MaxRead(unit uint8) uint16 {
	if n := b.cfg.Units[unit].MaxRegisters; n > 0 {
		return min(n, MaxRead)
	}
	return MaxRead
}

// checkTimes looks at everything but the address.
func (c Config) checkTimes() error {
	for _, d := range []struct {
		name  string
		value time.Duration
		most  time.Duration
	}{
		{"timeout", c.Timeout, mostWait}, {"connect delay", c.ConnectDelay, mostWait}, {"request gap", c.RequestGap, mostWait},
		{"unit gap", c.UnitGap, mostWait}, {"quiet", c.Quiet, mostWait}, {"idle close", c.IdleClose, mostIdle},
	} {
		if d.value < 0 || d.value > d.most {
			return fmt.Errorf("modbus %s of %s: must be between 0 and %s", d.name, d.value, d.most)
		}
	}
	for unit, u := range c.Units {
		if u.RequestGap < 0 || u.RequestGap > mostWait {
			return fmt.Errorf("modbus unit %d: request gap of %s: must be between 0 and %s", unit, u.RequestGap, mostWait)
		}
		if u.MaxRegisters > MaxRead {
			return fmt.Errorf("modbus unit %d: block limit of %d registers: Modbus allows at most %d", unit, u.MaxRegisters, MaxRead)
		}
	}
	return nil
}

func (c Config) withDefaults() Config {
	if c.Timeout == 0 {
		c.Timeout = defaultTimeout
	}
	if c.Quiet == 0 {
		c.Quiet = c.Timeout
	}
	return c
}

// bauds are the speeds that every driver knows.
func bauds() []int { return []int{1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200, 230400} }

// check says what is wrong with s and how to write it.
func (s Serial) check() error {
	if !slices.Contains(bauds(), s.Baud) {
		return fmt.Errorf("baud=%d: choose one of %s", s.Baud, strings.Trim(fmt.Sprint(bauds()), "[]"))
	}
	if s.DataBits != 8 {
		return fmt.Errorf("data=%d: Modbus RTU has 8 data bits (7 are for Modbus ASCII, which is not supported)", s.DataBits)
	}
	if !slices.Contains([]string{"N", "E", "O"}, s.Parity) {
		return fmt.Errorf("parity=%s: write N (none), E (even) or O (odd)", s.Parity)
	}
	if s.StopBits != 1 && s.StopBits != 2 {
		return fmt.Errorf("stop=%d: write 1 or 2", s.StopBits)
	}
	return nil
}

func (s Serial) withDefaults() Serial {
	if s.Baud == 0 {
		s.Baud = 9600
	}
	if s.DataBits == 0 {
		s.DataBits = 8
	}
	if s.Parity == "" {
		s.Parity = "N"
	}
	if s.StopBits == 0 {
		s.StopBits = 1
	}
	return s
}

// char is how long one character takes on the line.
func (s Serial) char() time.Duration {
	bits := 1 + s.DataBits + s.StopBits
	if s.Parity != "N" {
		bits++
	}
	return time.Duration(bits) * time.Second / time.Duration(s.Baud)
}

// SPDX-License-Identifier: AGPL-3.0-or-later

package wire

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/allmende-energy/allmende/energy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds a test that hangs; nothing is asserted about it.
const patience = 5 * time.Minute

// image is unit 1 with holding registers 100 to 109 of value 0x1000 + address,
// coils 0 to 9 of which the odd ones are on, and input register 7.
func image(t testing.TB) *Image {
	t.Helper()
	m := NewImage()
	var err error
	for addr := range uint16(10) {
		err = errors.Join(err, m.Set(1, Holding, 100+addr, 0x1000+100+addr), m.Set(1, Coils, addr, addr%2), m.Set(1, Discrete, addr, 1-addr%2))
	}
	err = errors.Join(err, m.Set(1, Input, 7, 0x7777), m.Refuse(1, Holding, 200, 5, DeviceBusy))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func serve(t *testing.T, address string, h Handler, o Options) *Server {
	t.Helper()
	s, err := Listen(address, h, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// rules are read from YAML, as people write them.
func rules(t *testing.T, yaml string) []Rule {
	t.Helper()
	r, err := DecodeRules("faults.yaml", []byte("faults:\n"+yaml))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// client is a raw one: it sends and reads bytes.
type client struct {
	t    *testing.T
	conn conn
}

func dial(t *testing.T, s *Server) *client {
	t.Helper()
	var c conn
	var err error
	if s.tcp != nil {
		c, err = net.Dial("tcp", s.Addr())
	} else {
		c, err = os.OpenFile(s.Addr(), os.O_RDWR|syscall.O_NOCTTY|syscall.O_NONBLOCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetReadDeadline(time.Now().Add(patience))
	return &client{t, c}
}

// send writes bytes given in hexadecimal.
func (c *client) send(frame string) {
	c.t.Helper()
	if _, err := c.conn.Write(unhex(frame)); err != nil {
		c.t.Fatal(err)
	}
}

// gets reads as many bytes as want has and compares.
func (c *client) gets(want string) {
	c.t.Helper()
	wanted := unhex(want)
	got := make([]byte, len(wanted))
	if n, err := io.ReadFull(c.conn, got); err != nil || !bytes.Equal(got, wanted) {
		c.t.Errorf("got % x, %v; want % x", got[:n], err, wanted)
	}
}

// ends expects that the connection was closed with nothing more in it.
func (c *client) ends() {
	c.t.Helper()
	rest, err := io.ReadAll(c.conn)
	if len(rest) > 0 || err != nil && !errors.Is(err, syscall.ECONNRESET) {
		c.t.Errorf("it should have ended: % x, %v", rest, err)
	}
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

// rtu is a frame with its checksum, in hexadecimal.
func rtu(frame string) string {
	b := unhex(frame)
	return hex.EncodeToString(RTU.append(nil, 0, b[0], b[1:]))
}

func TestChecksumOfThePublishedExample(t *testing.T) {
	if got := rtu("01 03 00 00 00 0a"); got != "01030000000ac5cd" {
		t.Errorf("%s, the published example ends in c5cd", got)
	}
}

// Each function, as bytes.
func TestFunctions(t *testing.T) {
	for name, x := range map[string]struct{ ask, answer string }{
		"holding registers":  {"01 03 0064 0002", "01 03 04 1064 1065"},
		"input registers":    {"01 04 0007 0001", "01 04 02 7777"},
		"coils":              {"01 01 0000 000a", "01 01 02 aa02"},
		"discrete inputs":    {"01 02 0001 0003", "01 02 01 02"},
		"write a coil":       {"01 05 0002 ff00", "01 05 0002 ff00"},
		"write a register":   {"01 06 0064 beef", "01 06 0064 beef"},
		"write coils":        {"01 0f 0000 000a 02 ff03", "01 0f 0000 000a"},
		"write registers":    {"01 10 0064 0002 04 0001 0002", "01 10 0064 0002"},
		"a gap":              {"01 03 006d 0002", "01 83 02"},
		"a refused one":      {"01 03 00c8 0001", "01 83 06"},
		"unknown function":   {"01 2b 0e 01 00", "01 ab 01"},
		"no register at all": {"01 03 0064 0000", "01 83 03"},
		"too many":           {"01 03 0064 007e", "01 83 03"},
		"past the end":       {"01 03 ffff 0002", "01 83 02"},
		"half a request":     {"01 03 00", "01 83 03"},
		"wrong byte count":   {"01 10 0064 0002 03 0001 0002", "01 90 03"},
		"neither on nor off": {"01 05 0002 1234", "01 85 03"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := dial(t, serve(t, "127.0.0.1:0", image(t), Options{}))
			pdu := unhex(x.ask)
			c.send(hex.EncodeToString(MBAP.append(nil, 0x1234, pdu[0], pdu[1:])))
			answer := unhex(x.answer)
			c.gets(hex.EncodeToString(MBAP.append(nil, 0x1234, answer[0], answer[1:])))
		})
	}
}

func TestAnImageThatIsReadOnly(t *testing.T) {
	m := image(t).ReadOnly()
	if _, err := m.Serve(Request{Unit: 1, Function: WriteRegister, Addr: 100, Count: 1, Values: []uint16{1}}); !errors.Is(err, IllegalFunction) {
		t.Errorf("a write: %v", err)
	}
	if v, ok := m.Get(1, Holding, 100); v != 0x1064 || !ok {
		t.Errorf("the register became %x", v)
	}
	if err := m.Set(1, 9, 0, 1); err == nil {
		t.Error("a fifth table")
	}
	if err := m.Set(1, Holding, 65535, 1, 2); err == nil {
		t.Error("an address past the last")
	}
}

// The same exchange on each transport.
func TestTransports(t *testing.T) {
	ask, answer := rtu("01 03 0064 0001"), rtu("01 03 02 1064")
	for _, address := range []string{"rtuovertcp://127.0.0.1:0", "pty:"} {
		s := serve(t, address, image(t), Options{})
		c := dial(t, s)
		c.send(ask)
		c.gets(answer)
		c.send("ff ff 01 ff" + ask) // noise before it
		c.gets(answer)
		c.send(ask + ask) // two at once
		c.gets(answer + answer)
		c.send(rtu("09 03 0064 0001") + rtu("00 03 0064 0001") + ask) // no such unit, and all units: nobody answers
		c.gets(answer)
		bad := unhex(ask)
		bad[2] ^= 1
		c.send(hex.EncodeToString(bad) + ask) // a wrong checksum
		c.gets(answer)
	}
	s := serve(t, "tcp://127.0.0.1:0", image(t), Options{})
	if !strings.HasPrefix(s.URL(), "tcp://127.0.0.1:") {
		t.Errorf("its url is %s", s.URL())
	}
	c := dial(t, s)
	c.send("0001 0000 0006 09 03 0064 0001")
	c.gets("0001 0000 0003 09 83 0b")
	c.send("GET / HTTP/1.1"[:0] + hex.EncodeToString([]byte("GET / HTTP/1.1\r\n\r\n")))
	c.ends()
}

func TestAddresses(t *testing.T) {
	for _, bad := range []string{"", "host", "http://h:1", "rtu://host/dev/x", "rtu://", "rtu:///dev/x?baud=fast", "rtu:///dev/x?parity=X",
		"rtu:///dev/x?parity=", "rtu:///dev/x?stop=3", "rtu:///dev/x?colour=1", "pty"} {
		if _, err := ParseAddress(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	a, err := ParseAddress("rtu:///dev/ttyUSB0?baud=19200&parity=E&stop=2")
	if err != nil || a.serial != (serialPort{"/dev/ttyUSB0", 19200, "E", 2}) || a.Framing() != RTU {
		t.Errorf("%+v, %v", a, err)
	}
	if _, err := Listen("rtu:///dev/null", image(t), Options{}); err == nil || !strings.Contains(err.Error(), "is it a serial port?") {
		t.Errorf("/dev/null as a line: %v", err)
	}
	if _, err := Listen("rtu:///dev/nowhere", image(t), Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a port that is not there: %v", err)
	}
	s := serve(t, "127.0.0.1:0", image(t), Options{})
	if _, err := Listen(s.Addr(), image(t), Options{}); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a port in use: %v", err)
	}
}

// A serial port opened by its name is a line like any other.
func TestSerialPort(t *testing.T) {
	pair, err := OpenPTY()
	if err != nil {
		t.Fatal(err)
	}
	defer pair.Close()
	s := serve(t, "rtu://"+pair.Path+"?baud=19200&parity=E&stop=2", image(t), Options{})
	if s.URL() != "rtu://"+pair.Path {
		t.Errorf("its url is %s", s.URL())
	}
	c := &client{t, pair}
	_ = pair.SetReadDeadline(time.Now().Add(patience))
	c.send(rtu("01 03 0064 0001"))
	c.gets(rtu("01 03 02 1064"))
}

func TestClients(t *testing.T) {
	const ask, answer = "0001 0000 0006 01 03 0064 0001", "0001 0000 0005 01 03 02 1064"
	s := serve(t, "127.0.0.1:0", image(t), Options{Clients: 1})
	first := dial(t, s)
	first.send(ask)
	first.gets(answer)
	if conn, err := net.Dial("tcp", s.Addr()); err == nil { // it may be turned away at once
		(&client{t, conn}).ends()
		conn.Close()
	} else if !errors.Is(err, syscall.ECONNRESET) {
		t.Error(err)
	}
	first.send(ask)
	first.gets(answer)

	s = serve(t, "127.0.0.1:0", image(t), Options{Clients: 1, Kick: true})
	first = dial(t, s)
	first.send(ask)
	first.gets(answer)
	second := dial(t, s)
	second.send(ask)
	second.gets(answer)
	first.ends()
	s.HangUp()
	second.ends()
}

// Whatever bytes arrive in whatever pieces, the same requests are found.
func TestFramerDoesNotDependOnPieces(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		var line []byte
		var want []string
		for range rapid.IntRange(1, 6).Draw(r, "frames") {
			pdu := rapid.SampledFrom([]string{"03 0064 0002", "06 0001 beef", "10 0064 0001 02 0007", "0f 0000 0003 01 05"}).Draw(r, "pdu")
			unit := rapid.Uint8Range(1, 247).Draw(r, "unit")
			line = RTU.append(line, 0, unit, unhex(pdu))
			want = append(want, hex.EncodeToString(append([]byte{unit}, unhex(pdu)...)))
		}
		var f framer
		var got []string
		for len(line) > 0 {
			n := rapid.IntRange(1, len(line)).Draw(r, "piece")
			f.push(line[:n], func(x frame) { got = append(got, hex.EncodeToString(append([]byte{x.unit}, x.pdu...))) })
			line = line[n:]
		}
		if strings.Join(got, " ") != strings.Join(want, " ") {
			r.Fatalf("found %v, want %v", got, want)
		}
	})
}

func FuzzFramer(f *testing.F) {
	f.Add(unhex(rtu("01 03 0064 0001")), 3)
	f.Add(unhex("01 10 00 00 00 7b f6"), 1)
	f.Fuzz(func(t *testing.T, line []byte, piece int) {
		piece = max(piece, 1)
		var find framer
		for len(line) > 0 {
			n := min(piece, len(line))
			find.push(line[:n], func(x frame) {
				if len(x.pdu) > mostPDU {
					t.Errorf("a request of %d bytes", len(x.pdu))
				}
				parse(x.unit, x.pdu)
			})
			line = line[n:]
		}
		if cap(find.buf) > 2*mostFrame {
			t.Errorf("the framer keeps %d bytes", cap(find.buf))
		}
	})
}

// FuzzServer feeds arbitrary bytes to a session of each framing.
func FuzzServer(f *testing.F) {
	f.Add(unhex("0001 0000 0006 01 03 0064 0001"), false)
	f.Add(unhex("0001 0000 000b 01 10 0064 0002 04 0001 0002"), false)
	f.Add(unhex(rtu("01 0f 0000 000a 02 ff03")), true)
	f.Fuzz(func(t *testing.T, sent []byte, serial bool) {
		s := &Server{
			handler: image(t), framing: MBAP, script: newScript(1, []Rule{{Do: Effect{Shift: 1, Freeze: true, Negate: []Signed{{Address: 100, Words: 2}}}}}),
			stop: make(chan struct{}), late: make(chan struct{}, mostLate),
		}
		if serial {
			s.framing = RTU
		}
		c := &session{server: s, conn: &memory{in: bytes.NewReader(sent)}}
		c.run()
	})
}

// memory is a connection that has sent what it will ever send.
type memory struct{ in io.Reader }

func (m *memory) Read(b []byte) (int, error)     { return m.in.Read(b) }
func (*memory) Write(b []byte) (int, error)      { return len(b), nil }
func (*memory) Close() error                     { return nil }
func (*memory) SetReadDeadline(time.Time) error  { return nil }
func (*memory) SetWriteDeadline(time.Time) error { return nil }

func FuzzDecodeRules(f *testing.F) {
	f.Add([]byte(everyField))
	f.Add([]byte("faults: [{when: {addresses: 9-1}, do: {send: zz}}]\n"))
	f.Fuzz(func(t *testing.T, src []byte) {
		got, err := DecodeRules("f", src)
		if err != nil {
			return
		}
		if err := Validate(got); err != nil {
			t.Errorf("decoded, but not valid: %v", err)
		}
		s := newScript(1, got)
		for unit := range uint8(3) {
			r := Request{Unit: unit, Function: ReadHolding, Addr: 40000, Count: 100}
			e := s.effect(r, moment{since: energy.Minute})
			_, _ = s.answer(NewImage(), r, e)
		}
	})
}

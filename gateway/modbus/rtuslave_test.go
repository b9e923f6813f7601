// SPDX-License-Identifier: AGPL-3.0-or-later

package modbus

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// checksum is the one of Modbus RTU in another way than the package has it: the
// polynomial 0x8005 from the left, on reversed bits.
func checksum(frame []byte) uint16 {
	crc := uint16(0xffff)
	for _, c := range frame {
		crc ^= uint16(bits.Reverse8(c)) << 8
		for range 8 {
			carry := crc & 0x8000
			crc <<= 1
			if carry != 0 {
				crc ^= 0x8005
			}
		}
	}
	return bits.Reverse16(crc)
}

// framed is a whole frame on a serial line.
func framed(unit byte, pdu []byte) []byte {
	f := append([]byte{unit}, pdu...)
	return binary.LittleEndian.AppendUint16(f, checksum(f))
}

// readFrame reads one request from a serial line: unit, then function and data.
func readFrame(r io.Reader) (unit byte, pdu []byte, err error) {
	f := make([]byte, 8)
	if _, err = io.ReadFull(r, f[:7]); err != nil {
		return 0, nil, err
	}
	more := 1
	if f[1] >= 15 {
		more = int(f[6]) + 2
	}
	f = append(f[:7], make([]byte, more)...)
	if _, err = io.ReadFull(r, f[7:]); err != nil {
		return 0, nil, err
	}
	n := len(f) - 2
	if binary.LittleEndian.Uint16(f[n:]) != checksum(f[:n]) {
		return 0, nil, fmt.Errorf("a request with a wrong checksum: % x", f)
	}
	return f[0], f[1:n], nil
}

// wireOf is how a test reaches a slave over a serial line: its URL, and what the
// slave has to hand. talk is called with each end of the line.
type wireOf struct {
	name string
	open func(t testing.TB, talk func(io.ReadWriter)) (url string)
}

// wires are a real pseudo-terminal pair and a real socket.
func wires() []wireOf {
	return []wireOf{{"rtu", overPTY}, {"rtuovertcp", overSocket}}
}

func overSocket(t testing.TB, talk func(io.ReadWriter)) string {
	return "rtuovertcp://" + listen(t, func(conn net.Conn) { talk(conn) })
}

func overPTY(t testing.TB, talk func(io.ReadWriter)) string {
	master, path := openPTY(t)
	var group sync.WaitGroup
	group.Go(func() { talk(master) })
	t.Cleanup(func() {
		master.Close()
		group.Wait()
	})
	return "rtu://" + path
}

// openPTY gives the master's end of a new pseudo-terminal and the path of the other.
func openPTY(t testing.TB) (*os.File, string) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := master.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var n int
	if ctl := raw.Control(func(fd uintptr) {
		if err = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); err == nil {
			n, err = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	}); ctl != nil || err != nil {
		t.Fatal(ctl, err)
	}
	path := fmt.Sprintf("/dev/pts/%d", n)
	// While nobody has the other end open, reading from this one fails: the
	// test keeps it open, as a cable would.
	other, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Close() })
	return master, path
}

// answering serves s over a serial line, each answer after the time that delay says.
func (s *slave) answering(delay func(unit byte, pdu []byte) time.Duration) func(io.ReadWriter) {
	return func(line io.ReadWriter) {
		for {
			unit, pdu, err := readFrame(line)
			if err != nil {
				return
			}
			answer := s.answer(unit, pdu)
			if answer == nil {
				continue
			}
			if delay != nil {
				s.deciding.Lock() // there may be several connections
				wait := delay(unit, pdu)
				s.deciding.Unlock()
				time.Sleep(wait)
			}
			if _, err := line.Write(framed(unit, answer)); err != nil {
				return
			}
		}
	}
}

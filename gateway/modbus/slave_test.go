// SPDX-License-Identifier: AGPL-3.0-or-later

package modbus

import (
	"encoding/binary"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
)

// slave is a device made by hand, so that it shares no code with the client: it
// takes the bytes of a request (function and data) and gives those of the
// answer. Each value tells unit, table and address, until something is written.
type slave struct {
	mu       sync.Mutex
	deciding sync.Mutex // while a test says how long an answer takes
	asked    [][]byte   // unit, then the request
	regs     map[[2]int]uint16
	coils    map[[2]int]bool
	refuse   func(unit, function byte, addr, n int) byte // an exception, 0: none
	silent   map[byte]bool                               // units that do not answer
}

func tableValue(unit, function byte, addr int) uint16 {
	return uint16(addr) ^ uint16(unit)<<8 ^ uint16(function&1)<<15
}

func tableBit(unit, function byte, addr int) bool {
	return (addr*7+int(unit)+int(function))%3 == 0
}

// answer is nil where the device stays silent.
func (s *slave) answer(unit byte, req []byte) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, append([]byte{unit}, req...))
	if s.silent[unit] {
		return nil
	}
	function, addr, n := req[0], int(binary.BigEndian.Uint16(req[1:])), int(binary.BigEndian.Uint16(req[3:]))
	if s.refuse != nil {
		if code := s.refuse(unit, function, addr, n); code != 0 {
			return []byte{function | 0x80, code}
		}
	}
	switch function {
	case 1, 2:
		out := append([]byte{function, byte((n + 7) / 8)}, make([]byte, (n+7)/8)...)
		for i := range n {
			on, ok := s.coils[[2]int{int(unit), addr + i}]
			if !ok || function == 2 {
				on = tableBit(unit, function, addr+i)
			}
			if on {
				out[2+i/8] |= 1 << (i % 8)
			}
		}
		return out
	case 3, 4:
		out := []byte{function, byte(2 * n)}
		for i := range n {
			v, ok := s.regs[[2]int{int(unit), addr + i}]
			if !ok || function == 4 {
				v = tableValue(unit, function, addr+i)
			}
			out = binary.BigEndian.AppendUint16(out, v)
		}
		return out
	}
	return s.write(unit, req)
}

func (s *slave) write(unit byte, req []byte) []byte {
	if s.regs == nil {
		s.regs, s.coils = map[[2]int]uint16{}, map[[2]int]bool{}
	}
	addr, n := int(binary.BigEndian.Uint16(req[1:])), int(binary.BigEndian.Uint16(req[3:]))
	switch req[0] {
	case 5:
		s.coils[[2]int{int(unit), addr}] = n == 0xff00
	case 6:
		s.regs[[2]int{int(unit), addr}] = uint16(n)
	case 15:
		for i := range n {
			s.coils[[2]int{int(unit), addr + i}] = req[6+i/8]&(1<<(i%8)) != 0
		}
	case 16:
		for i := range n {
			s.regs[[2]int{int(unit), addr + i}] = binary.BigEndian.Uint16(req[6+2*i:])
		}
	default:
		return []byte{req[0] | 0x80, IllegalFunction}
	}
	return req[:5]
}

// asks counts the requests that came for a unit.
func (s *slave) asks(unit byte) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, a := range s.asked {
		if a[0] == unit {
			n++
		}
	}
	return n
}

// overTCP serves s on a port of its own and tells its address.
func (s *slave) overTCP(t testing.TB) string {
	t.Helper()
	return listen(t, func(conn net.Conn) {
		for {
			head := make([]byte, 7)
			if _, err := io.ReadFull(conn, head); err != nil {
				return
			}
			req := make([]byte, binary.BigEndian.Uint16(head[4:])-1)
			if _, err := io.ReadFull(conn, req); err != nil {
				return
			}
			if answer := s.answer(head[6], req); answer != nil {
				binary.BigEndian.PutUint16(head[4:], uint16(len(answer)+1))
				if _, err := conn.Write(slices.Concat(head, answer)); err != nil {
					return
				}
			}
		}
	})
}

// listen calls talk with each connection to a new port until the test ends.
func listen(t testing.TB, talk func(net.Conn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	var mu sync.Mutex
	conns := []net.Conn{}
	group.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, conn)
			mu.Unlock()
			group.Go(func() {
				defer conn.Close()
				talk(conn)
			})
		}
	})
	t.Cleanup(func() {
		listener.Close()
		mu.Lock()
		for _, conn := range conns {
			conn.Close()
		}
		mu.Unlock()
		group.Wait()
	})
	return listener.Addr().String()
}

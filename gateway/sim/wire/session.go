// SPDX-License-Identifier: AGPL-3.0-or-later

package wire

import (
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"github.com/allmende-energy/allmende/energy"
)

// conn is a TCP connection or a serial port.
type conn interface {
	io.ReadWriteCloser
	SetReadDeadline(t time.Time) error
	SetWriteDeadline(t time.Time) error
}

// session is one client, or a serial line.
type session struct {
	server   *Server
	conn     conn
	opened   time.Time
	answered time.Time
	held     [][]byte // answers that wait for the next request (MBAP)
	mu       sync.Mutex
}

// lineSilence ends a half frame on a serial line. The protocol has 3.5
// characters; a computer that is busy needs more.
const lineSilence = 100 * time.Millisecond

func (c *session) run() {
	if c.server.framing == MBAP {
		for {
			_ = c.conn.SetReadDeadline(time.Now().Add(idle))
			f, err := readMBAP(c.conn)
			if err != nil || !c.handle(f) {
				return
			}
		}
	}
	c.runRTU()
}

func (c *session) runRTU() {
	var find framer
	buf := make([]byte, mostFrame)
	open := true
	for open {
		if len(find.buf) > 0 {
			_ = c.conn.SetReadDeadline(time.Now().Add(lineSilence))
		} else {
			_ = c.conn.SetReadDeadline(c.patience())
		}
		n, err := c.conn.Read(buf)
		find.push(buf[:n], func(f frame) { open = open && c.handle(f) })
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded) && len(find.buf) > 0:
			find.silence()
		case err != nil:
			return
		}
	}
}

// patience is when a silent client is dropped: never on a serial line.
func (c *session) patience() time.Time {
	if c.server.tcp == nil {
		return time.Time{}
	}
	return time.Now().Add(idle)
}

// handle answers one request as the rules have it; false ends the connection.
func (c *session) handle(f frame) bool {
	s := c.server
	if s.framing == RTU {
		s.line.Lock()
		defer s.line.Unlock()
	}
	now := time.Now()
	at := Exchange{Connected: now.Sub(c.opened), Gap: now.Sub(c.lastAnswer())}
	at.Request, at.Malformed = parse(f.unit, f.pdu)
	at.Effect = s.script.effect(at.Request, moment{
		since: s.since(), connected: energy.SpanOf(at.Connected), gap: energy.SpanOf(at.Gap),
	})
	if s.opts.Observe != nil {
		s.opts.Observe(at)
	}
	pdu, silent := s.reply(at)
	e := at.Effect
	for _, old := range c.takeHeld() {
		c.write(old)
	}
	if !s.pause(e.Delay) {
		return false
	}
	out := s.wrap(f, pdu, e)
	if silent || e.Silence || s.framing == RTU && f.unit == 0 { // unit 0 is for all on a line, and nobody answers
		out = nil
	}
	return c.send(out, e)
}

// reply is the PDU that answers, and whether nobody does.
func (s *Server) reply(x Exchange) (pdu []byte, silent bool) {
	var err error
	var a Answer
	if err = x.Malformed; x.Malformed == 0 {
		a, err = s.script.answer(s.handler, x.Request, x.Effect)
		if err == nil && !a.fits(x.Request) {
			err = DeviceFailure
		}
	}
	if err == nil {
		return appendAnswer(nil, x.Request, a), false
	}
	code := exceptionOf(err)
	onlyGateways := code == PathUnavailable || code == TargetSilent
	return []byte{x.Request.Function | exceptionMarker, uint8(code)}, errors.Is(err, ErrSilent) || s.framing == RTU && onlyGateways
}

// wrap makes the frame, with what e changes in it.
func (s *Server) wrap(f frame, pdu []byte, e Effect) []byte {
	unit := f.unit
	if e.Unit != nil {
		unit = *e.Unit
	}
	if e.Function != nil {
		pdu[0] = *e.Function
	}
	out := s.framing.append(append([]byte(nil), e.Noise...), f.transaction+uint16(e.Transaction), unit, pdu)
	if e.BadCRC && s.framing == RTU {
		out[len(out)-1] ^= 0x55
	}
	if len(e.Send) > 0 {
		out = e.Send
	}
	if e.Cut > 0 {
		out = out[:min(e.Cut, len(out))]
	}
	return out
}

// send brings out on its way, now or later; false ends the connection.
func (c *session) send(out []byte, e Effect) bool {
	s := c.server
	defer c.setAnswered()
	ends := (e.HangUp || e.Reset) && s.tcp != nil
	switch {
	case ends && len(e.Send) == 0 && e.Cut == 0, out == nil:
	case e.Hold:
		c.hold(out)
	case e.Late > 0:
		c.sendLate(out, e.Late)
	case e.Delay > 0:
		c.heir().write(out)
	default:
		if !c.write(out) {
			return s.tcp == nil // a serial line that nobody reads goes on
		}
	}
	if ends && e.Reset {
		abort(c.conn)
	}
	return !ends
}

func (c *session) sendLate(out []byte, by energy.Span) {
	s := c.server
	select {
	case s.late <- struct{}{}:
	default:
		return
	}
	s.group.Go(func() {
		defer func() { <-s.late }()
		if !s.pause(by) {
			return
		}
		c.heir().write(out)
	})
}

// heir is who gets what comes late: on a line the bytes come, whoever listens now.
func (c *session) heir() *session {
	if c.server.framing == RTU {
		if newest := c.server.newest(); newest != nil {
			return newest
		}
	}
	return c
}

func (c *session) write(b []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.conn.SetWriteDeadline(time.Now().Add(writeTime))
	_, err := c.conn.Write(b)
	return err == nil
}

// hold keeps an answer for later: with the connection, or with the line.
func (c *session) hold(out []byte) {
	held := &c.held
	if c.server.framing == RTU {
		c.server.mu.Lock()
		defer c.server.mu.Unlock()
		held = &c.server.held
	}
	if len(*held) < mostHeld {
		*held = append(*held, out)
	}
}

func (c *session) takeHeld() [][]byte {
	held := &c.held
	if c.server.framing == RTU {
		c.server.mu.Lock()
		defer c.server.mu.Unlock()
		held = &c.server.held
	}
	old := *held
	*held = nil
	return old
}

func (c *session) setAnswered() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answered = time.Now()
}

func (c *session) lastAnswer() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.answered
}

// SPDX-License-Identifier: AGPL-3.0-or-later

package modbus

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

// rtu is a serial line, or a converter that passes its bytes on. Its frames have
// no transaction numbers: an answer tells its unit, function and length, and
// nothing else about its question. So a late answer looks like one to the next
// question. The library cannot be used here, because it does not let go of the
// connection: after an answer that did not come, the line must be listened to
// until it is silent, and closing it does not help. A converter passes a late
// answer on to the next connection, and the kernel may keep the bytes of a
// serial port for whoever opens it next.
//
// Three things keep the values apart:
//
//   - after a fault the line is listened to until it has been silent for
//     [Config.Quiet]; what comes is thrown away;
//   - what comes between two exchanges is thrown away as well;
//   - an answer that never came is a debt. While a unit has one, a question
//     whose answer would look the same is not asked. Another question comes
//     first, whose answer looks different: units answer in order, so with that
//     answer the debt is gone.
type rtu struct {
	port    port
	timeout time.Duration
	quiet   time.Duration
	char    time.Duration // on the wire; 0: not known
	silence time.Duration // that separates two frames: 3.5 characters
	owed    *debts
	heard   time.Time // when the last byte came or went
	mute    int       // exchanges in a row without a byte
	patient bool      // a port of our own: silence is no reason to open it anew
	spent   bool      // the connection is broken
	buf     [mostBuffer]byte
	fill    int
}

// port is what rtu needs of a connection; files of terminals and sockets are one.
type port interface {
	Read([]byte) (int, error)
	Write([]byte) (int, error)
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
	Close() error
}

const (
	mostFrame  = 256 // bytes, from Modbus over serial line 1.02, 2.5.1
	mostBuffer = 2 * mostFrame
	// drainRounds bounds how long a line that is never silent is listened to.
	drainRounds = 3
	// mostMute is how many exchanges in a row may stay without a byte before a
	// connection to a converter is made anew.
	mostMute = 3
	// leastListen is how long the line is listened to before a request.
	leastListen = 200 * time.Microsecond
	// fixedSilence is what stands for 3.5 characters above 19200 baud.
	fixedSilence = 1750 * time.Microsecond
)

func openRTU(ctx context.Context, cfg Config, where target, owed *debts) (line, error) {
	r := &rtu{
		timeout: cfg.Timeout, quiet: cfg.Quiet, char: where.serial.char(), owed: owed,
		silence: fixedSilence, patient: where.scheme == schemeRTU,
	}
	if where.serial.Baud <= 19200 {
		r.silence = 7 * r.char / 2
	}
	var err error
	if r.patient {
		r.port, err = openSerial(where.address, where.serial)
	} else {
		r.silence = leastListen // the converter keeps the frames apart
		dialer := net.Dialer{Timeout: cfg.Timeout}
		r.port, err = dialer.DialContext(ctx, "tcp", where.address)
	}
	if err != nil {
		return nil, err
	}
	r.drain(r.quiet) // somebody may have asked before us and left
	if r.spent {
		r.close()
		return nil, errors.New("the line broke while it was listened to")
	}
	return r, nil
}

func (r *rtu) close() { _ = r.port.Close() } // what could go wrong no longer matters

func (r *rtu) usable(error) bool { return !r.spent }

func (r *rtu) exchange(req *request) reply {
	if r.owed.has(expected(req), time.Now()) {
		if err := r.settle(req); err != nil {
			return reply{err: err}
		}
	}
	return r.once(req)
}

// settle asks a question whose answer cannot be mistaken for one that is owed.
func (r *rtu) settle(req *request) error {
	other, ok := r.owed.another(req, time.Now())
	if !ok {
		return fmt.Errorf("%w: unit %d answers so late that its answers can't be told apart; give it a longer timeout", ErrTimeout, req.unit)
	}
	err := r.once(other).err
	_, refused := errors.AsType[ErrException](err)
	if err != nil && !refused {
		return err
	}
	r.owed.settleUnit(req.unit)
	if refused { // perhaps it was the late answer that refused; then this one's is to come
		r.owed.add(expected(other), time.Now())
	}
	return nil
}

// once sends one request and reads until its answer has come.
func (r *rtu) once(req *request) reply {
	if err := r.listenFirst(); err != nil {
		return reply{err: err}
	}
	frame := appendCRC(appendRequest(make([]byte, 0, mostFrame), req))
	now := time.Now()
	deadline := now.Add(r.timeout + time.Duration(len(frame)+answerLength(req))*r.char)
	if err := r.port.SetWriteDeadline(deadline); err != nil {
		return r.broken(req, err)
	}
	if _, err := r.port.Write(frame); err != nil {
		return r.broken(req, err)
	}
	r.heard = now.Add(time.Duration(len(frame)) * r.char)
	if err := r.port.SetReadDeadline(deadline); err != nil {
		return r.broken(req, err)
	}
	for {
		pdu, unit, err := r.frame()
		if err != nil {
			return r.broken(req, err)
		}
		if unit == req.unit && (pdu[0] == req.function || pdu[0] == req.function|0x80) {
			if got, ok := decodeAnswer(req, pdu); ok {
				return got
			}
		}
		if !r.owed.settle(seen(unit, pdu)) && unit == req.unit {
			return r.broken(req, fmt.Errorf("%w: an answer to another request", ErrProtocol))
		}
	}
}

// broken ends an exchange that went wrong: what is still to come is listened to.
func (r *rtu) broken(req *request, err error) reply {
	now := time.Now()
	r.owed.add(expected(req), now)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = ErrTimeout
		if r.mute++; r.mute >= mostMute && !r.patient {
			r.spent = true // half of a connection may be gone without a word
		}
		r.drain(r.quiet)
	case errors.Is(err, ErrProtocol):
		r.drain(min(r.quiet, max(50*time.Millisecond, mostFrame*r.char)))
	default:
		r.spent = true
		err = fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return reply{err: err}
}

// listenFirst waits until the line has been silent for long enough to send, and
// throws away what comes meanwhile.
func (r *rtu) listenFirst() error {
	begun := time.Now()
	for limit := begun.Add(r.timeout); ; {
		until := r.heard.Add(r.silence)
		if least := begun.Add(leastListen); until.Before(least) {
			until = least
		}
		n, err := r.listen(until)
		r.sift()
		if err != nil || n == 0 {
			r.fill = 0 // a frame that paused for so long does not go on
			return err
		}
		if time.Now().After(limit) {
			return fmt.Errorf("%w: the line is never silent; is there another master on it?", ErrProtocol)
		}
	}
}

// drain listens until nothing has come for quiet, but no longer than a few times
// quiet. It ends early when no answer is owed any more.
func (r *rtu) drain(quiet time.Duration) {
	owing := r.owed.any(time.Now())
	for limit := time.Now().Add(drainRounds * quiet); time.Now().Before(limit); {
		n, err := r.listen(time.Now().Add(quiet))
		if err != nil {
			r.spent = true
			return
		}
		r.sift()
		if n == 0 {
			r.fill = 0
			return
		}
		if owing && r.fill == 0 && !r.owed.any(time.Now()) {
			quiet = r.silence
		}
	}
}

// listen reads once, until the given time at the latest; 0 bytes: it was silent.
func (r *rtu) listen(until time.Time) (int, error) {
	if err := r.port.SetReadDeadline(until); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	n, err := r.read()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return 0, nil
	}
	if err != nil {
		r.spent = true
		return 0, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return n, nil
}

// read adds what has come to the buffer; a full one is garbage and begins anew.
func (r *rtu) read() (int, error) {
	if r.fill == len(r.buf) {
		r.fill = 0
	}
	n, err := r.port.Read(r.buf[r.fill:])
	if n > 0 {
		r.fill += n
		r.heard, r.mute = time.Now(), 0
		return n, nil
	}
	return 0, err
}

// sift takes whole frames out of what nobody waits for, and strikes them off
// what is owed. What is no frame is thrown away.
func (r *rtu) sift() {
	for r.fill > 0 {
		n, whole := frameLength(r.buf[:r.fill])
		if whole && n == 0 || whole && n <= r.fill && !validCRC(r.buf[:n]) {
			r.fill = 0
			return
		}
		if !whole || n > r.fill {
			return // the rest may follow; [rtu.read] bounds it
		}
		r.owed.settle(seen(r.buf[0], r.buf[1:n-2]))
		r.fill = copy(r.buf[:], r.buf[n:r.fill])
	}
}

// frame reads until a whole valid one is there. It stays valid until the next read.
func (r *rtu) frame() (pdu []byte, unit uint8, err error) {
	for {
		n, known := frameLength(r.buf[:r.fill])
		switch {
		case known && n == 0:
			r.fill = 0
			return nil, 0, fmt.Errorf("%w: no frame begins like this", ErrProtocol)
		case known && n <= r.fill:
			whole := append([]byte(nil), r.buf[:n]...)
			r.fill = copy(r.buf[:], r.buf[n:r.fill])
			if !validCRC(whole) {
				r.fill = 0
				return nil, 0, fmt.Errorf("%w: the checksum is wrong (check wiring, termination, speed and parity)", ErrProtocol)
			}
			return whole[1 : n-2], whole[0], nil
		}
		if _, err := r.read(); err != nil {
			return nil, 0, err
		}
	}
}

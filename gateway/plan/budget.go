// SPDX-License-Identifier: AGPL-3.0-or-later

package plan

import (
	"fmt"
	"time"
)

// Line says how fast a bus is.
type Line struct {
	// Baud is 0 for a network.
	Baud int
	// CharBits is how many bits a character has on the line: 10 for 8N1, 11 with
	// parity or a second stop bit; 0: 10.
	CharBits int
	// Delay is what a device takes until it answers; around 20 ms for a meter.
	Delay time.Duration
	// RequestGap is the quiet between two requests; UnitGap that between two
	// requests to different units.
	RequestGap, UnitGap time.Duration
}

// char is how long one character takes.
func (l Line) char() time.Duration {
	if l.Baud <= 0 {
		return 0
	}
	bits := l.CharBits
	if bits == 0 {
		bits = 10
	}
	return time.Duration(bits) * time.Second / time.Duration(l.Baud)
}

// silence separates two frames: 3.5 characters, 1.75 ms above 19200 baud.
func (l Line) silence() time.Duration {
	if l.Baud > 19200 {
		return 1750 * time.Microsecond
	}
	return 7 * l.char() / 2
}

// Frames on a serial line: unit, function, address, count and checksum one way;
// unit, function, length, values and checksum the other.
const (
	requestBytes = 8
	answerBytes  = 5
)

// Exchange is how long one read takes, with the device's delay and without gaps.
func (l Line) Exchange(s Span) time.Duration {
	data := 2 * int(s.Count)
	if s.Table.bits() {
		data = (int(s.Count) + 7) / 8
	}
	return time.Duration(requestBytes+answerBytes+data)*l.char() + 2*l.silence() + l.Delay
}

// Budget is how long the reads of one unit take, each with the gap that follows.
func Budget(reads []Read, l Line) time.Duration {
	total := time.Duration(0)
	for _, r := range reads {
		total += l.Exchange(r.Span) + l.RequestGap
	}
	return total
}

// Cycle is how long one pass over all units of a bus takes.
func Cycle(units [][]Read, l Line) time.Duration {
	total := time.Duration(0)
	for _, reads := range units {
		total += Budget(reads, l)
		if len(units) > 1 && len(reads) > 0 {
			total += max(0, l.UnitGap-l.RequestGap)
		}
	}
	return total
}

// Tell is a cycle in words, to be shown before a configuration is saved: whether
// it fits between two polls, and what to do where it does not.
func Tell(cycle, every time.Duration, l Line) string {
	at := ""
	if l.Baud > 0 {
		at = fmt.Sprintf(" at %d baud", l.Baud)
	}
	says := fmt.Sprintf("this bus needs %s a cycle%s", seconds(cycle), at)
	if cycle <= every {
		return says
	}
	says += fmt.Sprintf(", more than the %s between two polls: poll less often, ask for fewer points", seconds(every))
	if l.Baud > 0 {
		says += ", raise the speed of all devices on the line, or spread them over two lines"
	}
	return says
}

// seconds is a time as an installer reads it: 2.3 s, 45 ms.
func seconds(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%d ms", (d+time.Millisecond-1)/time.Millisecond)
	}
	tenths := (d + 100*time.Millisecond - 1) / (100 * time.Millisecond)
	return fmt.Sprintf("%d.%d s", tenths/10, tenths%10)
}

// SPDX-License-Identifier: AGPL-3.0-or-later

package plan

import (
	"slices"
	"testing"
	"time"
)

func near(d, want time.Duration) bool {
	return d > want-500*time.Microsecond && d < want+500*time.Microsecond
}

// The figures that the field knows.
func TestBudgetOfASerialLine(t *testing.T) {
	line := Line{Baud: 9600}
	if d := line.Exchange(Span{Holding, 0, 125}); !near(d, 281*time.Millisecond) {
		t.Errorf("125 registers at 9600 8N1 take %s, want 281 ms", d)
	}
	if d := line.Exchange(Span{Holding, 0, 2}); !near(d, 25*time.Millisecond) {
		t.Errorf("2 registers at 9600 8N1 take %s, want 25 ms", d)
	}
	// With the 20 ms that a meter takes, a second is enough for 22 of them.
	meters := make([][]Read, 22)
	for i := range meters {
		meters[i] = []Read{{Span: Span{Holding, 0, 2}}}
	}
	line.Delay = 20 * time.Millisecond
	if d := Cycle(meters, line); d > time.Second {
		t.Errorf("22 meters take %s", d)
	}
	if d := Cycle(slices.Concat(meters, meters[:1]), line); d <= time.Second {
		t.Errorf("23 meters take %s only", d)
	}
}

func TestBudgetCountsGaps(t *testing.T) {
	reads := []Read{{Span: Span{Holding, 0, 10}}, {Span: Span{Coils, 0, 9}}}
	fast := Line{Baud: 115200, CharBits: 11}
	// 8+5+20 and 8+5+2 characters of 11 bits, four silences of 1.75 ms.
	want := time.Duration(48*11)*time.Second/115200 + 7*time.Millisecond
	if d := Budget(reads, fast); !near(d, want) {
		t.Errorf("two reads take %s, want %s", d, want)
	}
	fast.RequestGap, fast.UnitGap = 50*time.Millisecond, 75*time.Millisecond
	if d := Budget(reads, fast); !near(d, want+100*time.Millisecond) {
		t.Errorf("with gaps: %s", d)
	}
	if d := Cycle([][]Read{reads, reads, nil}, fast); !near(d, 2*(want+125*time.Millisecond)) {
		t.Errorf("two units: %s", d)
	}
	network := Line{Delay: 30 * time.Millisecond}
	if d := Budget(reads, network); d != 60*time.Millisecond {
		t.Errorf("over a network: %s", d)
	}
}

func TestBudgetInWords(t *testing.T) {
	for _, c := range []struct {
		cycle, every time.Duration
		line         Line
		want         string
	}{
		{2250 * time.Millisecond, 5 * time.Second, Line{Baud: 9600}, "this bus needs 2.3 s a cycle at 9600 baud"},
		{44500 * time.Microsecond, time.Second, Line{}, "this bus needs 45 ms a cycle"},
		{2 * time.Second, time.Second, Line{}, "this bus needs 2.0 s a cycle, more than the 1.0 s between two polls: poll less often, ask for fewer points"},
	} {
		if got := Tell(c.cycle, c.every, c.line); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

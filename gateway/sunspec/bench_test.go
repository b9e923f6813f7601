// SPDX-License-Identifier: AGPL-3.0-or-later

package sunspec

import "testing"

// BenchmarkRead is what one snapshot costs without a connection.
func BenchmarkRead(b *testing.B) {
	for name, board := range map[string]*board{"meter": newBoard(b, 40000, Common, MeterThree), "inverter": roof(b), "battery": battery(b)} {
		d := openBoard(b, board)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				board.asked = board.asked[:0]
				if _, err := d.Read(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

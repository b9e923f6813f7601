// SPDX-License-Identifier: AGPL-3.0-or-later

package store_test

import (
	"context"
	"fmt"
	"testing"
)

// BenchmarkAppendInbox reports samples a second, each batch durable.
func BenchmarkAppendInbox(b *testing.B) { benchOnEach(b, benchmarkAppendInbox) }

func benchmarkAppendInbox(b *testing.B, on engine) {
	for _, n := range []int{1, 100, 500} {
		b.Run(fmt.Sprint("batch=", n), func(b *testing.B) {
			s, _ := fresh(b, on)
			seq := uint64(1)
			b.ReportAllocs()
			for b.Loop() {
				durable, err := s.AppendInbox(context.Background(), "gw-1", "a", seq, batchOf(seq, n))
				if err != nil {
					b.Fatal(err)
				}
				seq = durable + 1
			}
			b.ReportMetric(float64(seq-1)/b.Elapsed().Seconds(), "samples/s")
		})
	}
}

// BenchmarkCommit stores one interval of 17 rows: 11 homes and 6 batteries.
func BenchmarkCommit(b *testing.B) { benchOnEach(b, benchmarkCommit) }

func benchmarkCommit(b *testing.B, on engine) {
	s, _, epoch, v := history(b, on, 11, 0)
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		leaf := v.interval(b, n, 0)
		if len(leaf.Rows) != 17 {
			b.Fatal(len(leaf.Rows))
		}
		b.StartTimer()
		commit(b, s, epoch, leaf)
		n++
	}
}

// BenchmarkVerify reports leaves a second over a day of 17 rows an interval.
func BenchmarkVerify(b *testing.B) { benchOnEach(b, benchmarkVerify) }

func benchmarkVerify(b *testing.B, on engine) {
	_, path, _, _ := history(b, on, 11, 96)
	for b.Loop() {
		holds(b, path)
	}
	b.ReportMetric(97*float64(b.N)/b.Elapsed().Seconds(), "leaves/s")
}

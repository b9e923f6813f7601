// SPDX-License-Identifier: AGPL-3.0-or-later

package kernel

import (
	"fmt"
	"math/rand"
	"os"
	"slices"
	"testing"
	"time"
)

// TestReport prints the table of docs/benchmarks/allocation.md: kernels and
// reference in turn, many short runs, the median and the quickest of each. It is
// not a test of speed, and runs only when asked for.
func TestReport(t *testing.T) {
	if os.Getenv("ALLMENDE_ALLOCATION_REPORT") == "" {
		t.Skip("set ALLMENDE_ALLOCATION_REPORT to print the table of docs/benchmarks/allocation.md")
	}
	for _, n := range []int{500, 10_000, 1_000_000} {
		runs := max(15, min(2000, 20_000_000/n))
		questions := make([]question, len(shapes))
		for shape := range shapes {
			questions[shape] = ask(rand.New(rand.NewSource(int64(n))), shape, n)
			questions[shape].pool = sumOf(questions[shape].demand)/2 + 1
		}
		got := make([]int64, n)
		var s Scratch
		took := make([][]time.Duration, len(shapes)+1)
		for range runs {
			q := &questions[0]
			sum := sumOf(q.demand)
			took[0] = append(took[0], clock(func() { proRata(got, q.demand, q.pool, sum) }))
			for shape := range questions {
				q := &questions[shape]
				took[shape+1] = append(took[shape+1], clock(func() { s.Fill(got, q.demand, q.weight, q.pool, q.ties) }))
			}
		}
		for i, d := range took {
			name := "pro-rata pass"
			if i > 0 {
				name = shapes[i-1].name
			}
			slices.Sort(d)
			slices.Sort(took[0])
			per := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / float64(n) }
			fmt.Printf("| %d | %s | %.2f | %.2f | %.2f |\n", n, name, per(d[len(d)/2]), per(d[0]), float64(d[len(d)/2])/float64(took[0][len(d)/2]))
		}
	}
}

func clock(f func()) time.Duration {
	began := time.Now()
	f()
	return time.Since(began)
}

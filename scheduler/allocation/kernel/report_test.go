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

// TestReport prints the tables of docs/benchmarks/allocation.md: kernels and
// references in turn, many short runs, the median and the quickest of each. It is
// not a test of speed, and runs only when asked for.
func TestReport(t *testing.T) {
	if os.Getenv("ALLMENDE_ALLOCATION_REPORT") == "" {
		t.Skip("set ALLMENDE_ALLOCATION_REPORT to print the tables of docs/benchmarks/allocation.md")
	}
	for _, n := range []int{500, 10_000, 1_000_000} {
		questions := make([]question, len(shapes))
		for shape := range shapes {
			questions[shape] = ask(rand.New(rand.NewSource(int64(n))), shape, n)
			questions[shape].pool = sumOf(questions[shape].demand)/2 + 1
		}
		got := make([]int64, n)
		var s Scratch
		q := &questions[0]
		sum := sumOf(q.demand)
		rows := []row{{name: "pro-rata pass", work: func() { proRata(got, q.demand, q.pool, sum) }}}
		for shape := range questions {
			q := &questions[shape]
			rows = append(rows, row{name: shapes[shape].name, work: func() { s.Fill(got, q.demand, q.weight, q.pool, q.ties) }})
		}
		measure(rows, max(25, min(2000, 20_000_000/n)))
		base, random := &rows[0], &rows[1]
		for i := range rows {
			r := &rows[i]
			fmt.Printf("| %d | %s | %.2f | %.2f | %.2f | %.2f | %.2f |\n", n, r.name, r.median()/float64(n), r.quickest()/float64(n),
				r.median()/base.median(), r.quickest()/base.quickest(), r.quickest()/random.quickest())
		}
	}
	for _, n := range []int{500, 10_000, 1_000_000} {
		var s Scratch
		var slow sorter
		bought, sold := make([]int64, n), make([]int64, n)
		for fair := range fairs {
			m := openMarket(rand.New(rand.NewSource(int64(n))), fair, n, n)
			rows := []row{
				{work: func() { s.Clear(bought, sold, m.bids, m.offers, m.buyers, m.sellers) }},
				{work: func() { slow.clear(bought, sold, m.bids, m.offers, m.buyers, m.sellers) }},
			}
			measure(rows, max(5, min(500, 1_000_000/n)))
			fmt.Printf("| %d | %s | %.1f | %.1f | %.1f | %.1f |\n", n, fairs[fair].name, rows[0].median()/float64(n), rows[0].quickest()/float64(n),
				rows[1].quickest()/float64(n), rows[1].quickest()/rows[0].quickest())
		}
	}
}

// row is one line of a table.
type row struct {
	name string
	work func()
	took []time.Duration // sorted
}

func (r *row) median() float64   { return float64(r.took[len(r.took)/2]) }
func (r *row) quickest() float64 { return float64(r.took[0]) }

// measure runs the rows in turn.
func measure(rows []row, runs int) {
	for range runs {
		for i := range rows {
			began := time.Now()
			rows[i].work()
			rows[i].took = append(rows[i].took, time.Since(began))
		}
	}
	for i := range rows {
		slices.Sort(rows[i].took)
	}
}

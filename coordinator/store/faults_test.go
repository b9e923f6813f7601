// SPDX-License-Identifier: AGPL-3.0-or-later

package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/allmende-energy/allmende/coordinator/store"
)

const (
	// faultEnv names the database that a child process writes while its disk fails.
	faultEnv = "ALLMENDE_TEST_FAULT_DATABASE"
	// faultWrites is how many writes the child makes: enough for the log to be
	// moved into the database once.
	faultWrites = 70
	// stopped is the child's status when it has met what is final.
	stopped = 3
)

// faultyChild writes, says what it has stored, tries again what passes, and
// stops at what is final, as a coordinator does.
func faultyChild(path string) {
	var tb panicking
	ctx := context.Background()
	insist := func(write func() error) {
		for range 50 {
			err := write()
			switch {
			case err == nil:
				return
			case errors.Is(err, store.ErrNoSpace):
				continue
			}
			fmt.Fprintln(os.Stderr, err)
			os.Exit(stopped)
		}
		panic("it does not recover")
	}
	var s *store.Store
	insist(func() (err error) { s, err = store.Open(ctx, path, options(tb)); return err })
	var epoch, size int64
	insist(func() (err error) { epoch, err = s.RaiseEpoch(ctx); return err })
	v := newVillage(tb, 6)
	samples := uint64(0)
	put := func(leaf store.NewLeaf) {
		insist(func() (err error) { _, size, err = s.Commit(ctx, epoch, []store.NewLeaf{leaf}); return err })
		fmt.Printf("leaves %d samples %d\n", size, samples)
	}
	put(v.founding())
	for n := range faultWrites {
		if n%3 == 0 {
			insist(func() (err error) {
				samples, err = s.AppendInbox(ctx, "gw-1", "a", samples+1, batchOf(samples+1, batchLength))
				return err
			})
			fmt.Printf("leaves %d samples %d\n", size, samples)
			continue
		}
		put(v.interval(tb, int(size)-1, 0))
	}
	if err := s.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(stopped)
	}
}

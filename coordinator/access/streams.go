// SPDX-License-Identifier: AGPL-3.0-or-later

package access

import (
	"context"
	"errors"
	"sync"
)

// errEnded ends the streams of somebody whose rights have changed.
var errEnded = errors.New("your session or token is over, or what you may has changed: sign in again, or connect anew")

// streams are what is open, by whose it is: a call is decided about once, and a
// stream may last for weeks.
type streams struct {
	mu  sync.Mutex
	of  map[string]map[int]context.CancelCauseFunc
	num int
}

// hold returns a context that ends when the caller's rights do.
func (s *streams) hold(ctx context.Context) (context.Context, func()) {
	who := From(ctx)
	if who.ID == "" {
		return ctx, func() {}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	expire := func() {}
	if !who.Ends.IsZero() {
		ctx, expire = context.WithDeadlineCause(ctx, who.Ends, errEnded)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of == nil {
		s.of = map[string]map[int]context.CancelCauseFunc{}
	}
	if s.of[who.ID] == nil {
		s.of[who.ID] = map[int]context.CancelCauseFunc{}
	}
	s.num++
	num := s.num
	s.of[who.ID][num] = cancel
	return ctx, func() {
		s.mu.Lock()
		delete(s.of[who.ID], num)
		if len(s.of[who.ID]) == 0 {
			delete(s.of, who.ID)
		}
		s.mu.Unlock()
		expire()
		cancel(nil)
	}
}

func (s *streams) end(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, cancel := range s.of[id] {
		cancel(errEnded)
	}
}

// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/allmende-energy/allmende/internal/sdnotify"
)

// service tells systemd, where there is one, how a long-running command does.
type service struct {
	notify *sdnotify.Notifier
	cancel context.CancelFunc
	work   sync.WaitGroup
}

// beginService asks for time as long as the start, or later the end, takes.
func beginService() (*service, error) {
	n, err := sdnotify.FromEnvironment(os.Getenv)
	if err != nil {
		return nil, err
	}
	s := &service{notify: n}
	s.do(n.Extending)
	return s, nil
}

// do runs one thing until the next begins.
func (s *service) do(fn func(context.Context)) {
	if s.cancel != nil {
		s.cancel()
		s.work.Wait()
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	s.work.Go(func() { fn(ctx) })
}

// serve says that the start is complete, and waits for the end: of ctx, or of
// what runs. Meanwhile signs of life go out as long as alive says so, and
// SIGHUP reloads where there is something to.
func (s *service) serve(ctx context.Context, ended <-chan struct{}, status string, alive func() bool, reload func()) error {
	hangups := make(chan os.Signal, 1)
	if reload != nil {
		signal.Notify(hangups, syscall.SIGHUP)
		defer signal.Stop(hangups)
	}
	if err := s.notify.Ready(status); err != nil {
		return err
	}
	s.do(func(ctx context.Context) { s.notify.Watch(ctx, alive) })
	for {
		select {
		case <-hangups:
			if err := s.notify.Reloading(); err != nil {
				return err
			}
			reload()
			if err := s.notify.Ready(status); err != nil {
				return err
			}
			continue
		case <-ctx.Done():
		case <-ended:
		}
		s.do(s.notify.Extending)
		return s.notify.Stopping()
	}
}

// end is for the very end.
func (s *service) end() {
	s.do(func(context.Context) {})
	s.cancel()
	s.work.Wait()
	_ = s.notify.Close() // it was only written to
}

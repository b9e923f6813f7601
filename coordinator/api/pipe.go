// SPDX-License-Identifier: AGPL-3.0-or-later

package api

import (
	"context"
	"io"
	"sync"

	"google.golang.org/grpc/metadata"
)

// pipe is a stream within the process that carries one request up and answers
// down, one at a time. It ends with its context.
type pipe struct {
	ctx     context.Context //nolint:containedctx // a stream is asked for its context
	request chan any
	answers chan any
	done    chan struct{}
	err     error // how the service ended, once done is closed
	closing sync.Once
}

func newPipe(ctx context.Context) *pipe {
	return &pipe{ctx: ctx, request: make(chan any, 1), answers: make(chan any), done: make(chan struct{})}
}

// serverEnd is the end that a service holds.
type serverEnd struct{ *pipe }

func (s serverEnd) Context() context.Context     { return s.ctx }
func (s serverEnd) SetHeader(metadata.MD) error  { return nil }
func (s serverEnd) SendHeader(metadata.MD) error { return nil }
func (s serverEnd) SetTrailer(metadata.MD)       {}

func (s serverEnd) RecvMsg(into any) error {
	select {
	case m, open := <-s.request:
		if !open {
			return io.EOF
		}
		return hand(into, m)
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
}

func (s serverEnd) SendMsg(m any) error {
	select {
	case s.answers <- m:
		return nil
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
}

// clientEnd is the end that the caller holds.
type clientEnd struct{ *pipe }

func (c clientEnd) Context() context.Context     { return c.ctx }
func (c clientEnd) Header() (metadata.MD, error) { return nil, nil } //nolint:nilnil // there is none, and that is no error
func (c clientEnd) Trailer() metadata.MD         { return nil }

func (c clientEnd) SendMsg(m any) error {
	select {
	case c.request <- m:
		return nil
	case <-c.ctx.Done():
		return c.ctx.Err()
	}
}

func (c clientEnd) CloseSend() error {
	c.closing.Do(func() { close(c.request) })
	return nil
}

func (c clientEnd) RecvMsg(into any) error {
	select {
	case m := <-c.answers:
		return hand(into, m)
	case <-c.done:
		if c.err != nil {
			return c.err
		}
		return io.EOF
	}
}

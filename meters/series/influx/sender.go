// SPDX-License-Identifier: AGPL-3.0-or-later

package influx

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	influxhttp "github.com/influxdata/influxdb-client-go/v2/api/http"
)

const (
	firstWait = 500 * time.Millisecond
	longWait  = 10 * time.Second
	idleEvery = 10 * time.Second
)

// ending is how long the end may take.
type ending struct{ ctx context.Context }

// send is the sender: it brings the queue to the server until the store is
// closed, and what is left then for as long as it may.
func (s *Store) send() {
	defer close(s.done)
	// Everything ends with life, which Close bounds.
	life, end := context.WithCancel(context.Background())
	defer end()
	ticker := time.NewTicker(sendEvery)
	defer ticker.Stop()
	var idled time.Time
	var closing *ending
	for closing == nil {
		select {
		case <-ticker.C:
			if time.Since(idled) >= idleEvery {
				idled = time.Now()
				s.emitIdle()
			}
			s.mu.Lock()
			s.enqueue()
			s.mu.Unlock()
			closing = s.drain(life)
		case <-s.wake:
			closing = s.drain(life)
		case closing = <-s.stop:
		}
	}
	s.mu.Lock()
	s.enqueue()
	s.mu.Unlock()
	s.drain(closing.ctx)
	s.giveUp()
}

// giveUp counts what is left at the end as lost.
func (s *Store) giveUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.queue) > 0 {
		b := s.next()
		s.lost.Add(uint64(b.points))
	}
}

// drain sends batches, the oldest first, until there is none or ctx ends. It
// returns early with the context that Close brings.
func (s *Store) drain(ctx context.Context) (closing *ending) {
	for ctx.Err() == nil {
		s.mu.Lock()
		if len(s.queue) == 0 {
			s.mu.Unlock()
			return nil
		}
		b := s.next()
		s.flying.Store(int64(b.points))
		s.mu.Unlock()
		closing = s.deliver(ctx, b)
		s.flying.Store(0)
		if closing != nil {
			return closing
		}
	}
	return nil
}

// deliver sends one batch until the server has it or will never have it. Where
// Close comes in between, the batch goes back into the queue.
func (s *Store) deliver(ctx context.Context, b batch) (closing *ending) {
	wait := firstWait
	for {
		err := s.post(ctx, b)
		if err == nil {
			s.written.Add(uint64(b.points))
			s.trouble.Store(nil)
			return nil
		}
		s.failures.Add(1)
		e, _ := errors.AsType[*influxhttp.Error](err)
		switch {
		case tooLarge(e) && bytes.Count(b.body, []byte("\n")) > 1:
			s.back(split(b)...)
			return nil
		case final(e):
			s.refused.Add(uint64(b.points))
			s.refusal.Store(&refusal{s.brief(err), time.Now()})
			s.trouble.Store(nil)
			return nil
		}
		s.explain(e, err)
		if e != nil && e.RetryAfter > 0 {
			wait = max(wait, min(time.Duration(e.RetryAfter)*time.Second, longWait))
		}
		timer := time.NewTimer(wait/2 + rand.N(wait/2))
		select {
		case <-timer.C:
		case closing = <-s.stop:
			timer.Stop()
			s.back(b)
			return closing
		case <-ctx.Done():
			timer.Stop()
			s.back(b)
			return nil
		}
		wait = min(2*wait, longWait)
	}
}

func (s *Store) post(ctx context.Context, b batch) error {
	ctx, cancel := context.WithTimeout(ctx, requestWithin)
	defer cancel()
	return s.write.WriteRecord(ctx, string(b.body))
}

// back puts batches at the queue's head again.
func (s *Store) back(b ...batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue = append(b, s.queue...)
	for _, b := range b {
		s.points += b.points
		s.bytes += len(b.body)
	}
}

// split makes two batches of one. What each has of the points is not counted
// exactly, only that none is counted twice.
func split(b batch) []batch {
	half := len(b.body) / 2
	cut := half + bytes.IndexByte(b.body[half:], '\n') + 1
	return []batch{{b.body[:cut:cut], b.points / 2}, {b.body[cut:], b.points - b.points/2}}
}

func tooLarge(e *influxhttp.Error) bool {
	return e != nil && e.StatusCode == http.StatusRequestEntityTooLarge
}

// final says whether a server will never have a batch: it understood it and
// did not want it. A server that does not know us, or the bucket, will after
// somebody has corrected that.
func final(e *influxhttp.Error) bool {
	if e == nil {
		return false
	}
	switch e.StatusCode {
	case http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusRequestEntityTooLarge:
		return true
	}
	return false
}

// explain shows why the server has nothing of us at present.
func (s *Store) explain(e *influxhttp.Error, err error) {
	what := "check that the server runs, and series.influxdb.url in allmende.yaml"
	if e != nil {
		switch e.StatusCode {
		case http.StatusUnauthorized, http.StatusForbidden:
			what = "check series.influxdb.token_file in allmende.yaml, and that the token may write to the bucket"
		case http.StatusNotFound:
			what = "check series.influxdb.bucket and organisation in allmende.yaml, and that the bucket is there"
		case http.StatusTooManyRequests, http.StatusServiceUnavailable:
			what = "the server has too much to do"
		}
	}
	text := fmt.Sprintf("InfluxDB takes nothing: %s: %s", s.brief(err), what)
	s.trouble.Store(&text)
}

// brief bounds what a server's answer contributes to a message. A server, or a
// proxy before it, may repeat what it was sent, and a message is shown and logged.
func (s *Store) brief(err error) string {
	const most = 200
	text := err.Error()
	secrets := []string{s.options.Token}
	if _, password, is18 := strings.Cut(s.options.Token, ":"); is18 {
		secrets = append(secrets, password)
	}
	for _, secret := range secrets {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "(secret)")
		}
	}
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}

// SPDX-License-Identifier: AGPL-3.0-or-later

package people

import (
	"sync"
	"time"
)

// limiter counts attempts by a key. So many are free; then each makes the next
// one wait, longer and longer up to a bound, never for good. Whoever waits as
// long as it is told gets in.
type limiter struct {
	free int
	most time.Duration // longest wait
	now  func() time.Time

	mu    sync.Mutex
	seen  map[string]attempts
	swept time.Time
}

type attempts struct {
	count int
	next  time.Time // not before
	last  time.Time
}

const (
	limiterKeys  = 10_000
	forgetAfter  = time.Hour
	sweepKeys    = time.Minute
	shortestWait = time.Second
)

func newLimiter(free int, most time.Duration, now func() time.Time) *limiter {
	return &limiter{free: free, most: most, now: now, seen: map[string]attempts{}}
}

// try counts an attempt, or says how long to wait for the next. The attempt
// counts before its outcome is known, so that many at once gain nothing.
func (l *limiter) try(key string) (wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	a, known := l.seen[key]
	if wait := a.next.Sub(now); wait > 0 {
		return wait
	}
	if known && now.Sub(a.last) >= forgetAfter {
		a = attempts{}
	}
	if !known {
		l.makeRoom(now)
	}
	a.count++
	a.last, a.next = now, now
	if over := a.count - l.free; over >= 0 {
		a.next = now.Add(min(shortestWait<<min(over, 20), l.most))
	}
	l.seen[key] = a
	return 0
}

// wait says how long to wait for the next attempt, and counts nothing.
func (l *limiter) wait(key string) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return max(l.seen[key].next.Sub(l.now()), 0)
}

// forgive forgets the attempts: the last one was good.
func (l *limiter) forgive(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.seen, key)
}

// credit takes one attempt back.
func (l *limiter) credit(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if a, known := l.seen[key]; known && a.count > 0 {
		a.count--
		l.seen[key] = a
	}
}

// makeRoom forgets what is old, or else any one key.
func (l *limiter) makeRoom(now time.Time) {
	if len(l.seen) < limiterKeys {
		return
	}
	// Looking through all of them for each new key would be a flood's best friend.
	if now.Sub(l.swept) >= sweepKeys {
		l.swept = now
		for key, a := range l.seen {
			if now.Sub(a.last) >= forgetAfter {
				delete(l.seen, key)
			}
		}
	}
	for key := range l.seen {
		if len(l.seen) < limiterKeys {
			return
		}
		delete(l.seen, key)
	}
}

// attemptLimits are the limits of signing in.
type attemptLimits struct {
	now     func() time.Time
	pairs   *limiter // an account from one network
	network *limiter // anybody from one network
	account *limiter // an account from networks that it was not signed in from before

	mu   sync.Mutex
	good map[string]time.Time // account and network of good sign-ins
}

func newAttemptLimits(now func() time.Time) *attemptLimits {
	return &attemptLimits{
		now:     now,
		pairs:   newLimiter(5, time.Minute, now),
		network: newLimiter(30, time.Minute, now),
		account: newLimiter(20, 10*time.Second, now),
		good:    map[string]time.Time{},
	}
}

// goodFor is how long a network is remembered that somebody signed in from.
const goodFor = 90 * 24 * time.Hour

func pairOf(login, network string) string { return network + " " + login }

// try counts a sign-in, or says how long to wait. Somebody who fails on purpose
// for another account slows down that account from elsewhere, but not from
// where its owner signs in; passkeys and recovery codes don't wait for it at all.
func (a *attemptLimits) try(login, network string) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	pair := pairOf(login, network)
	at, ok := a.good[pair]
	known := ok && a.now().Sub(at) < goodFor
	wait := max(a.network.wait(network), a.pairs.wait(pair))
	if !known {
		wait = max(wait, a.account.wait(login))
	}
	if wait > 0 {
		return wait // an attempt that comes too early counts for nothing
	}
	a.network.try(network)
	a.pairs.try(pair)
	if !known {
		a.account.try(login)
	}
	return 0
}

// succeeded forgives what was counted, and remembers where from.
func (a *attemptLimits) succeeded(login, network string) {
	a.pairs.forgive(pairOf(login, network))
	a.account.forgive(login)
	a.network.credit(network)
	a.mu.Lock()
	defer a.mu.Unlock()
	for key := range a.good {
		if len(a.good) < limiterKeys {
			break
		}
		delete(a.good, key)
	}
	a.good[pairOf(login, network)] = a.now()
}

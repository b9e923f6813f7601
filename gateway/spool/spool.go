// SPDX-License-Identifier: AGPL-3.0-or-later

// Package spool keeps metering samples on disk until the coordinator has them,
// and for a while longer.
//
// A spool is a folder of append-only segment files. [Spool.Append] returns when
// its samples are durable (one fsync a call), and only then do they have
// sequence numbers: a sample that was sent is never forgotten by a crash. The
// sequences of a spool id run from 1 without a gap.
//
// Acknowledged samples stay for the retention time, so that a coordinator that
// was restored from a backup can ask for them again. Unacknowledged ones are
// never removed: where the disk or the spool's own bound is full, Append
// refuses with [ErrNoSpace] or [ErrFull] and works again when there is room.
package spool

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"syscall"

	"github.com/allmende-energy/allmende/energy"
)

// Kinds of refusal, for errors.Is.
var (
	// ErrNoSpace: the file system under the spool is full.
	ErrNoSpace = errors.New("no space left on the device")
	// ErrFull: the spool has reached its own bound with unacknowledged samples.
	ErrFull = errors.New("spool full")
	// ErrClosed: the spool was closed.
	ErrClosed = errors.New("spool closed")
	// ErrBroken: the spool's files contradict each other.
	ErrBroken = errors.New("spool broken")
	// ErrGone: the samples that were asked for are no longer kept, or not yet there.
	ErrGone = errors.New("not in the spool")
)

// Options are a spool's bounds; zero values mean the defaults.
type Options struct {
	// Keep is how long acknowledged samples stay, by the samples' own time.
	// 40 days by default.
	Keep energy.Span
	// MaxBytes bounds the folder. Reaching it first shortens Keep, then
	// refuses samples. 512 MiB by default; at least four segments.
	MaxBytes int64
	// SegmentBytes is the size from which a new file begins. 256 KiB by default.
	SegmentBytes int64
	// Log hears of repairs; nil is silent.
	Log *slog.Logger
}

// Default bounds.
const (
	DefaultKeep         = 40 * energy.Day
	DefaultMaxBytes     = 512 << 20
	DefaultSegmentBytes = 256 << 10
)

func (o Options) withDefaults() Options {
	if o.Keep <= 0 {
		o.Keep = DefaultKeep
	}
	if o.SegmentBytes <= 0 {
		o.SegmentBytes = DefaultSegmentBytes
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	o.MaxBytes = max(o.MaxBytes, 4*o.SegmentBytes)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// state is what stateName holds. Sequences on disk count for ever; the
// sequences of a spool id are those minus Base, so that taking a new id renames
// samples without rewriting them.
type state struct {
	ID    string `json:"spool_id"`
	Base  uint64 `json:"base"`
	Acked uint64 `json:"acked"` // on-disk sequence
}

const stateName = "state.json"

// Spool is safe for concurrent use. All sequences of its methods are those of
// its present id.
type Spool struct {
	disk   disk
	opt    Options
	unlock func() error
	signal chan struct{}

	writing sync.Mutex // held over an append's input and output; taken before mu
	active  file       // the last segment, open for writing; nil: none yet, or it failed
	buf     []byte

	mu     sync.Mutex // guards what follows
	state  state
	segs   []segment
	bytes  int64
	newest energy.Instant
	cursor cursor
	closed bool
}

// cursor remembers where the last Read ended, so that reading on needs no scan.
type cursor struct {
	segment uint64 // its first sequence
	seq     uint64
	off     int64
}

// Open opens the spool in dir and creates it where there is none. It repairs
// what a crash left: a torn tail, which was never reported as spooled, is cut off.
func Open(dir string, opt Options) (*Spool, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil { //nolint:gosec // the operator's own folder
		return nil, fmt.Errorf("creating the spool's folder: %w", classify(err))
	}
	unlock, err := lock(dir)
	if err != nil {
		return nil, err
	}
	s, err := open(folder(dir), opt)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening the spool in %s: %w", dir, err), unlock())
	}
	s.unlock = unlock
	return s, nil
}

func open(d disk, opt Options) (*Spool, error) {
	s := &Spool{disk: d, opt: opt.withDefaults(), signal: make(chan struct{}, 1)}
	if err := s.loadState(); err != nil {
		return nil, err
	}
	if err := s.loadSegments(); err != nil {
		return nil, err
	}
	last := s.lastOnDisk()
	if last < s.state.Base || last < s.state.Acked {
		// The files behind the state are gone: their sequences must not be given
		// again under the same id.
		if err := s.renew(last); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *Spool) loadState() error {
	b, err := s.disk.read(stateName)
	switch {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return fmt.Errorf("reading %s: %w", stateName, err)
	default:
		if json.Unmarshal(b, &s.state) == nil && s.state.ID != "" && s.state.Acked >= s.state.Base {
			return nil
		}
		s.opt.Log.Warn("the spool's state file can't be read; the samples are sent again under a new id", "file", stateName)
	}
	s.state = state{ID: newID()}
	return s.saveState()
}

func newID() string {
	var b [12]byte
	rand.Read(b[:]) // never fails (crypto/rand)
	return hex.EncodeToString(b[:])
}

func (s *Spool) saveState() error {
	b, err := json.Marshal(s.state)
	if err != nil {
		return err
	}
	return classify(s.disk.replace(stateName, append(b, '\n')))
}

// renew takes a new id under which the sample behind on-disk sequence base is number 1.
func (s *Spool) renew(base uint64) error {
	old := s.state
	s.state = state{ID: newID(), Base: base, Acked: base}
	if err := s.saveState(); err != nil {
		s.state = old
		return fmt.Errorf("taking a new spool id: %w", err)
	}
	return nil
}

func (s *Spool) lastOnDisk() uint64 {
	if len(s.segs) == 0 {
		return s.state.Base
	}
	return s.segs[len(s.segs)-1].last
}

// ID names the spool; sequences count within it. It changes only when samples
// or acknowledgements were lost on either side (see Resume).
func (s *Spool) ID() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.ID
}

// Position is the spool's id with its highest sequence and the highest
// acknowledged one.
func (s *Spool) Position() (id string, last, acked uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.ID, s.lastOnDisk() - s.state.Base, s.state.Acked - s.state.Base
}

// Pending is how many samples wait for their acknowledgement.
func (s *Spool) Pending() uint64 {
	_, last, acked := s.Position()
	return last - acked
}

// Bytes is what the segments take on disk.
func (s *Spool) Bytes() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bytes
}

// Changed receives after samples were appended. One reader.
func (s *Spool) Changed() <-chan struct{} { return s.signal }

// Acknowledge notes that everything up to seq is durable at the coordinator.
// Acknowledgements of another id or of less than before mean nothing.
func (s *Spool) Acknowledge(id string, seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id != s.state.ID || seq > s.lastOnDisk()-s.state.Base {
		return
	}
	s.state.Acked = max(s.state.Acked, s.state.Base+seq)
	s.prune()
}

// Resume takes what the coordinator says, at the start of a stream, to have of
// this id. Sending goes on behind it. It may be less than was acknowledged
// before (a restored backup). Where it can't be followed, the spool takes a new
// id and returns true, and the stream must begin again with it: the coordinator
// has more than was ever spooled here (this disk was restored, and numbers
// would be given twice), or needs what is no longer kept.
func (s *Spool) Resume(id string, acked uint64) (renewed bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false, ErrClosed
	}
	if id != s.state.ID {
		return true, nil // it changed meanwhile
	}
	last, kept := s.lastOnDisk(), s.state.Base
	if len(s.segs) > 0 {
		kept = s.segs[0].first - 1
	}
	switch {
	case acked > last-s.state.Base:
		s.opt.Log.Warn("the coordinator has more samples of this spool than the spool: it was restored or lost; going on under a new id", "coordinator_has", acked, "here", last-s.state.Base)
		return true, s.renew(max(kept, s.state.Base, min(s.state.Acked, last)))
	case s.state.Base+acked < kept:
		s.opt.Log.Warn("the coordinator lacks samples that are no longer kept here; going on under a new id with the oldest there are", "coordinator_has", acked, "kept_from", kept+1-s.state.Base)
		return true, s.renew(kept)
	}
	lowered := s.state.Base+acked < s.state.Acked
	s.state.Acked = s.state.Base + acked
	if lowered {
		if err := s.saveState(); err != nil {
			s.opt.Log.Warn("could not note that the coordinator was restored; the retention may end early after a crash", "error", err)
		}
	}
	return false, nil
}

// prune removes old segments whose samples are all acknowledged. It is called
// with mu held. A file that can't be removed now is tried again next time.
func (s *Spool) prune() {
	for len(s.segs) > 1 {
		g := s.segs[0]
		old := g.newest < s.newest.Add(-s.opt.Keep)
		crowded := s.bytes+s.opt.SegmentBytes > s.opt.MaxBytes
		if g.last > s.state.Acked || (!old && !crowded) {
			return
		}
		if err := s.disk.remove(g.name); err != nil && !errors.Is(err, os.ErrNotExist) {
			return
		}
		s.bytes -= g.end
		s.segs = slices.Delete(s.segs, 0, 1)
	}
}

// Close ends the spool. It does not wait for acknowledgements.
func (s *Spool) Close() error {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	err := s.saveState()
	if s.active != nil {
		err = errors.Join(err, s.active.Close())
	}
	if s.unlock != nil {
		err = errors.Join(err, s.unlock())
	}
	return err
}

// classify gives a full disk its own kind and says what to do about it.
func classify(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: free some space there; samples wait in memory meanwhile (%w)", ErrNoSpace, err)
	}
	return err
}

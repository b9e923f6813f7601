// SPDX-License-Identifier: AGPL-3.0-or-later

package spool

import (
	"errors"
	"io"
	"maps"
	"os"
	"slices"
	"syscall"
)

var errDisk = errors.New("input/output error")

// memDisk is a disk that loses what was not synced, fills up, and fails on demand.
type memDisk struct {
	files   map[string]*memData // what a program sees
	durable map[string]*memData // names that survive a crash

	room      int64 // bytes that may still be written; negative: no bound
	failSync  int   // file syncs to fail
	failTrunc int
	syncs     int
}

// memData is a file's content and the part of it that survives a crash.
type memData struct {
	now    []byte
	synced []byte
}

func newMemDisk() *memDisk {
	return &memDisk{files: map[string]*memData{}, durable: map[string]*memData{}, room: -1}
}

// crash keeps what is durable. Of bytes behind the synced ones keep(n) of n
// survive, in the order they were written.
func (d *memDisk) crash(keep func(n int) int) {
	d.files = maps.Clone(d.durable)
	for _, name := range slices.Sorted(maps.Keys(d.files)) {
		f := d.files[name]
		left := f.synced
		if n := len(f.now) - len(f.synced); n > 0 && string(f.now[:len(f.synced)]) == string(f.synced) {
			left = f.now[:len(f.synced)+keep(n)]
		}
		f.now = slices.Clone(left)
		f.synced = slices.Clone(left)
	}
	d.room, d.failSync, d.failTrunc = -1, 0, 0
}

func (d *memDisk) list() ([]string, error) { return slices.Collect(maps.Keys(d.files)), nil }

func (d *memDisk) read(name string) ([]byte, error) {
	f, ok := d.files[name]
	if !ok {
		return nil, os.ErrNotExist
	}
	return slices.Clone(f.now), nil
}

func (d *memDisk) open(name string, fresh bool) (file, error) {
	f, ok := d.files[name]
	switch {
	case fresh && d.room == 0:
		return nil, syscall.ENOSPC
	case fresh && !ok:
		f = &memData{}
		d.files[name] = f
	case fresh:
		f.now = nil
	case !ok:
		return nil, os.ErrNotExist
	}
	return &memFile{d, f}, nil
}

func (d *memDisk) replace(name string, b []byte) error {
	if d.room >= 0 && int64(len(b)) > d.room {
		return syscall.ENOSPC
	}
	f := &memData{now: slices.Clone(b), synced: slices.Clone(b)}
	d.files[name], d.durable[name] = f, f
	return nil
}

func (d *memDisk) remove(name string) error {
	if _, ok := d.files[name]; !ok {
		return os.ErrNotExist
	}
	delete(d.files, name)
	delete(d.durable, name)
	return nil
}

func (d *memDisk) sync() error {
	maps.Copy(d.durable, d.files)
	return nil
}

type memFile struct {
	d *memDisk
	f *memData
}

func (m *memFile) ReadAt(b []byte, off int64) (int, error) {
	if off > int64(len(m.f.now)) {
		return 0, io.EOF
	}
	n := copy(b, m.f.now[off:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (m *memFile) WriteAt(b []byte, off int64) (int, error) {
	n := len(b)
	if m.d.room >= 0 && int64(n) > m.d.room {
		n = int(m.d.room)
	}
	if grow := int(off) + n - len(m.f.now); grow > 0 {
		m.f.now = append(m.f.now, make([]byte, grow)...)
	}
	copy(m.f.now[off:], b[:n])
	if m.d.room >= 0 {
		m.d.room -= int64(n)
	}
	if n < len(b) {
		return n, syscall.ENOSPC
	}
	return n, nil
}

func (m *memFile) Truncate(size int64) error {
	if m.d.failTrunc > 0 {
		m.d.failTrunc--
		return errDisk
	}
	m.f.now = m.f.now[:size]
	return nil
}

func (m *memFile) Sync() error {
	m.d.syncs++
	if m.d.failSync > 0 {
		m.d.failSync--
		return errDisk
	}
	m.f.synced = slices.Clone(m.f.now)
	return nil
}

func (m *memFile) Close() error { return nil }

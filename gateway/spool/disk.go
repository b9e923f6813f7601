// SPDX-License-Identifier: AGPL-3.0-or-later

package spool

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// disk is what the spool needs of a folder. Tests give it one that forgets,
// fills up and fails.
type disk interface {
	list() ([]string, error)
	read(name string) ([]byte, error)
	// open opens a file for writing; fresh empties it or creates it.
	open(name string, fresh bool) (file, error)
	// replace writes a whole file so that it is there in its old or in its new
	// form after a crash; it is durable on return.
	replace(name string, b []byte) error
	remove(name string) error
	// sync makes created and removed names durable.
	sync() error
}

type file interface {
	io.ReaderAt
	io.WriterAt
	Truncate(size int64) error
	Sync() error
	Close() error
}

// folder is a disk in the file system.
type folder string

func (d folder) path(name string) string { return filepath.Join(string(d), name) }

func (d folder) list() ([]string, error) {
	entries, err := os.ReadDir(string(d))
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		if e.Type().IsRegular() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

func (d folder) read(name string) ([]byte, error) { return os.ReadFile(d.path(name)) }

func (d folder) open(name string, fresh bool) (file, error) {
	flags := os.O_RDWR
	if fresh {
		flags |= os.O_CREATE | os.O_TRUNC
	}
	f, err := os.OpenFile(d.path(name), flags, 0o600)
	if err != nil {
		return nil, err // not f: a nil *os.File in an interface is not nil
	}
	return f, nil
}

func (d folder) replace(name string, b []byte) error {
	f, err := os.CreateTemp(string(d), name+".*.tmp")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() //nolint:gosec // the operator's own folder; gone already after the rename
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), d.path(name)) //nolint:gosec // the operator's own folder
	}
	if err != nil {
		return fmt.Errorf("replacing %s: %w", d.path(name), err)
	}
	return d.sync()
}

func (d folder) remove(name string) error { return os.Remove(d.path(name)) }

func (d folder) sync() error {
	f, err := os.Open(string(d))
	if err != nil {
		return err
	}
	err = f.Sync()
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}

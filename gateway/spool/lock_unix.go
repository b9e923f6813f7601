// SPDX-License-Identifier: AGPL-3.0-or-later

//go:build unix

package spool

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// lock keeps a second process off the folder: two writers would give one
// sequence to two samples. The kernel lets go of it when the process dies.
func lock(dir string) (unlock func() error, err error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // the operator's own folder
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close() // the refusal is what matters
		return nil, fmt.Errorf("spool %s is in use by another process: stop it, or give this gateway a folder of its own (%w)", dir, err)
	}
	return f.Close, nil
}

// InUse says whether a gateway works on the spool in dir.
func InUse(dir string) bool {
	f, err := os.Open(filepath.Join(dir, "lock"))
	if err != nil {
		return false
	}
	defer f.Close() //nolint:errcheck // it was only looked at
	return syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB) != nil
}

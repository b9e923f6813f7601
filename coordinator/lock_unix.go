// SPDX-License-Identifier: AGPL-3.0-or-later

//go:build unix

package coordinator

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// lock keeps a second coordinator off the data: it would raise the epoch and
// shut the first one out. The kernel lets go of it when the process dies.
func lock(dir string) (unlock func() error, err error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close() // the refusal is what matters
		return nil, fmt.Errorf("%s is in use by another coordinator: see which with `fuser %s`, and stop it", dir, f.Name())
	}
	return f.Close, nil
}

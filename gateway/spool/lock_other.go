// SPDX-License-Identifier: AGPL-3.0-or-later

//go:build !unix

package spool

// lock does nothing where the system has no advisory locks.
func lock(string) (unlock func() error, err error) {
	return func() error { return nil }, nil
}

// InUse cannot be told here.
func InUse(string) bool { return false }

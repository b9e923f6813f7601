// SPDX-License-Identifier: AGPL-3.0-or-later

//go:build !linux

package wire

import (
	"errors"
	"os"
)

var errNoSerial = errors.New("serial lines are served on Linux only; use a TCP address")

// PTY is a pseudo-terminal pair; there is none on this system.
type PTY struct {
	*os.File
	Path string
}

// OpenPTY says that it can't.
func OpenPTY() (*PTY, error) { return nil, errNoSerial }

func openSerial(serialPort) (*os.File, error) { return nil, errNoSerial }

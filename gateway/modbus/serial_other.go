// SPDX-License-Identifier: AGPL-3.0-or-later

//go:build !linux

package modbus

import "errors"

func openSerial(string, Serial) (port, error) {
	return nil, errors.New("serial ports are opened on Linux only; use a converter and rtuovertcp:// here")
}

// SPDX-License-Identifier: AGPL-3.0-or-later

//go:build !unix

package backup

import (
	"errors"
	"math"
)

// lockFolder cannot be had here: what a killed backup left stays.
func lockFolder(string) (unlock func(), err error) { return func() {}, errors.ErrUnsupported }

// free is not known here: a full disk ends the copy.
func free(string) (int64, error) { return math.MaxInt64, nil }

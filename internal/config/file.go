// SPDX-License-Identifier: AGPL-3.0-or-later

package config

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/allmende-energy/allmende/internal/strictyaml"
)

// Problem is one thing that is wrong in a file, and Problems is everything.
type (
	Problem  = strictyaml.Problem
	Problems = strictyaml.Problems
)

// inEmptyFile is what to do about one.
const inEmptyFile = "run `allmende init` in a new folder to get one to start from"

func readFile(path string, o strictyaml.Options) ([]byte, error) {
	src, err := strictyaml.ReadFile(path, o)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is not there: run `allmende init` for a new folder, or name the right one with --dir", path)
	}
	if err != nil {
		return nil, fmt.Errorf("reading configuration: %w", err)
	}
	return src, nil
}

// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"golang.org/x/term"
)

// output is where a command speaks: results to Out, progress and remarks to Err.
type output struct {
	In         io.Reader
	Out        io.Writer
	Err        io.Writer
	IsTerminal bool // Err is a terminal: progress bars are welcome
}

func standardOutput() *output {
	return &output{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, IsTerminal: term.IsTerminal(int(os.Stderr.Fd()))}
}

// JSON writes v indented, with a newline behind it.
func (o *output) JSON(v any) error {
	enc := json.NewEncoder(o.Out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("writing JSON: %w", err)
	}
	return nil
}

// Printf writes a result line.
func (o *output) Printf(format string, args ...any) { fmt.Fprintf(o.Out, format, args...) }

// Remark writes to people, beside the result.
func (o *output) Remark(format string, args ...any) { fmt.Fprintf(o.Err, format, args...) }

// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"context"

	"github.com/allmende-energy/allmende/commons/charter"
)

type charterDiffCmd struct {
	Before string `arg:"" help:"The charter as it is: a YAML file, or - for standard input."`
	After  string `arg:"" help:"The charter as it would be: a YAML file, or - for standard input."`
	JSON   bool   `help:"Print as JSON, for programs."`
}

// Help is what "allmende charter diff --help" adds.
func (*charterDiffCmd) Help() string {
	return `Says rule by rule what would change for members, with the figures of both: what is
new, what is no longer there, and what is said differently. Hand it out before a
vote. The words are those of charter explain.

  allmende charter diff charter.yaml proposal.yaml`
}

// diffResult is the JSON of "charter diff".
type diffResult struct {
	Before      chartered            `json:"before"`
	After       chartered            `json:"after"`
	Same        bool                 `json:"same"`
	Differences []charter.Difference `json:"differences"`
}

// chartered names a charter that was read.
type chartered struct {
	File string `json:"file"`
	Name string `json:"name"`
	Hash string `json:"hash"`
}

// Run tells the differences.
func (c *charterDiffCmd) Run(_ context.Context, out *output) error {
	before, hashBefore, err := (&charterFile{File: c.Before}).valid(out)
	if err != nil {
		return err
	}
	after, hashAfter, err := (&charterFile{File: c.After}).valid(out)
	if err != nil {
		return err
	}
	differences := charter.Diff(&before, &after)
	if c.JSON {
		if differences == nil {
			differences = []charter.Difference{}
		}
		return out.JSON(diffResult{
			chartered{c.Before, before.Name, hashBefore}, chartered{c.After, after.Name, hashAfter}, hashBefore == hashAfter, differences,
		})
	}
	if len(differences) == 0 {
		out.Printf("Both say the same.\nhash %s\n", hashBefore)
		return nil
	}
	for _, d := range differences {
		out.Printf("%s\n\n", wrap(d.String(), 80))
	}
	out.Printf("hash before %s\nhash after  %s\n", hashBefore, hashAfter)
	return nil
}

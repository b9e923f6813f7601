// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/mod/sumdb/note"

	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/coordinator/store"
	"github.com/allmende-energy/allmende/internal/config"
	"github.com/allmende-energy/allmende/scheduler/settlement"
)

type ledgerCmd struct {
	Verify ledgerVerifyCmd `cmd:"" help:"Recompute every interval from the annex and check tree, commitments, postings and checkpoint."`
}

type ledgerVerifyCmd struct {
	Dir       string `arg:"" type:"existingdir" help:"The community's folder."`
	Key       string `help:"Verifier key to trust instead of the one in the folder: the text or a file with it. Use one that you noted earlier, or somebody else did."`
	JSON      bool   `help:"Print the report as JSON."`
	Intervals bool   `help:"List every interval with its state."`
}

// Help is shown by allmende ledger verify --help.
func (c *ledgerVerifyCmd) Help() string {
	return `Reads the ledger of a community, also while its coordinator runs, and checks
everything that it says by doing it again: each leaf is where the signed
checkpoint says, each interval follows from the meters' differences in the
annex under the charter that was in force, debits equal credits, and each
battery opens with what it closed with.

Names the first leaf that does not hold, and ends with status 1. Members whose
data were erased are reported as erased: what remains of their intervals holds.

  allmende ledger verify my-community
  allmende ledger verify my-community --key "allmende+1f2e3d4c+AUx…" --json`
}

func (c *ledgerVerifyCmd) Run(ctx context.Context, out *output) error {
	serve, err := config.LoadServe(c.Dir)
	if err != nil {
		return err
	}
	verifiers, err := c.verifiers(serve.LedgerKey)
	if err != nil {
		return err
	}
	if there, err := store.Exists(ctx, serve.Database.Reveal()); err != nil {
		return err
	} else if !there {
		return fmt.Errorf("there is no ledger at %s yet: start the coordinator with \"allmende serve --dir %s\" first", serve.Database, c.Dir)
	}
	db, err := store.OpenReader(ctx, serve.Database.Reveal())
	if err != nil {
		return err
	}
	defer db.Close() //nolint:errcheck // it was only read
	bar := newProgress(out, "verifying")
	report, err := ledger.Verify(ctx, db, verifiers, settlement.Recompute, bar.show)
	bar.clear()
	if err != nil {
		return err
	}
	if c.JSON {
		err = out.JSON(newVerifyReport(report, c.Intervals))
	} else {
		c.print(out, report)
	}
	if err == nil && !report.Holds() {
		return errReported
	}
	return err
}

// verifiers is the key to trust: the one given, or the folder's own.
func (c *ledgerVerifyCmd) verifiers(ledgerKey string) (note.Verifiers, error) {
	if c.Key == "" {
		_, v, err := store.LoadVerifier(ledgerKey)
		return v, err
	}
	text := c.Key
	if b, err := os.ReadFile(filepath.Clean(c.Key)); err == nil {
		text = string(b)
	}
	v, err := note.NewVerifier(firstLine(text))
	if err != nil {
		return nil, fmt.Errorf("--key: %w; it looks like name+1f2e3d4c+AUx… and stands on the page under the charter, or in ledger.key%s", err, store.PublicSuffix)
	}
	return note.VerifierList(v), nil
}

func firstLine(s string) string {
	for i := range len(s) {
		if s[i] == '\n' || s[i] == '\r' {
			return s[:i]
		}
	}
	return s
}

func (c *ledgerVerifyCmd) print(out *output, r ledger.Report) {
	if c.Intervals {
		for _, s := range r.States {
			line := fmt.Sprintf("leaf %6d  %s", s.Leaf, s.Interval)
			if s.Revision > 0 {
				line += fmt.Sprintf("  revision %d", s.Revision)
			}
			out.Printf("%s  %s", line, s.State)
			if s.Erased > 0 {
				out.Printf(" (%d of %d rows)", s.Erased, s.Rows)
			}
			out.Printf("\n")
		}
	}
	out.Printf("%d leaves: %d charters, %d intervals, %d reversals; %d annex rows checked, %d erased\n",
		r.Leaves, r.Charters, r.Intervals, r.Reversals, r.Rows, r.Erased)
	if !r.Holds() {
		out.Printf("DOES NOT HOLD: %v\n", r.Fault)
		if c.Key != "" && r.Fault.Leaf == ledger.NoLeaf {
			out.Printf("Is the key that was given with --key the one of this community?\n")
		}
		return
	}
	out.Printf("Everything holds, up to the signed checkpoint of %d leaves (root %s).\n", r.Checkpoint.Size, r.Checkpoint.Root)
	if r.Checkpoint.Simulated {
		out.Printf("The world of this ledger is simulated.\n")
	}
}

// verifyReport is the report as JSON.
type verifyReport struct {
	Holds      bool             `json:"holds"`
	Fault      string           `json:"fault,omitempty"`
	FaultLeaf  *int64           `json:"fault_leaf,omitempty"`
	Leaves     int64            `json:"leaves"`
	Charters   int64            `json:"charters"`
	Intervals  int64            `json:"intervals"`
	Reversals  int64            `json:"reversals"`
	Rows       int64            `json:"rows"`
	Erased     int64            `json:"erased"`
	Size       int64            `json:"checkpoint_size"`
	Root       string           `json:"checkpoint_root"`
	Simulated  bool             `json:"simulated"`
	ByInterval []verifyInterval `json:"by_interval,omitempty"`
}

type verifyInterval struct {
	Leaf     int64        `json:"leaf"`
	Start    string       `json:"start"`
	Length   string       `json:"length"`
	Revision int          `json:"revision"`
	State    ledger.State `json:"state"`
	Rows     int          `json:"rows"`
	Erased   int          `json:"erased"`
}

func newVerifyReport(r ledger.Report, intervals bool) verifyReport {
	v := verifyReport{
		Holds: r.Holds(), Leaves: r.Leaves, Charters: r.Charters, Intervals: r.Intervals, Reversals: r.Reversals,
		Rows: r.Rows, Erased: r.Erased, Size: r.Checkpoint.Size, Root: r.Checkpoint.Root.String(), Simulated: r.Checkpoint.Simulated,
	}
	if r.Fault != nil {
		v.Fault = r.Fault.Error()
		if r.Fault.Leaf != ledger.NoLeaf {
			v.FaultLeaf = &r.Fault.Leaf
		}
	}
	if intervals {
		for _, s := range r.States {
			v.ByInterval = append(v.ByInterval, verifyInterval{
				s.Leaf, s.Interval.Start.String(), s.Interval.Length.String(), s.Revision, s.State, s.Rows, s.Erased,
			})
		}
	}
	return v
}

// SPDX-License-Identifier: AGPL-3.0-or-later

// Command inventory writes down everything of others that is in the program,
// with its licence: the software bill of materials, in CycloneDX's format. It
// fails for what may not be in a program under the AGPL, and for a licence that
// it does not know, so that a person reads it.
//
//	go run ./tools/inventory -out dist/sbom.json [PROGRAM...]
//
// Modules come from the Go command, for each kind of computer that we build
// for; the page's packages from its package-lock.json. PROGRAMs are named in
// the bill with their checksums, and must hold no module that the bill lacks.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "inventory: %v\n", err)
		stop()
		os.Exit(1) //nolint:forbidigo,gocritic // this is main
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("inventory", flag.ContinueOnError)
	root := flags.String("root", ".", "the repository")
	out := flags.String("out", "", "where to write the bill; without, only the licences are checked")
	version := flags.String("version", "v0.0.0-unknown", "the program's version")
	epoch := flags.Int64("epoch", 0, "when the version was made, in seconds since 1970")
	if err := flags.Parse(args); err != nil {
		return err
	}
	parts, err := everything(ctx, *root)
	if err != nil {
		return err
	}
	if err := checkLicences(parts); err != nil {
		return err
	}
	programs, err := readPrograms(flags.Args(), parts)
	if err != nil {
		return err
	}
	if *out != "" {
		bill, err := cycloneDX(*version, *epoch, programs, parts)
		if err != nil {
			return err
		}
		if err := os.WriteFile(*out, bill, 0o644); err != nil { //nolint:gosec // it is for everybody
			return err
		}
	}
	fmt.Fprintln(os.Stdout, summary(parts))
	return nil
}

// part is one thing of others: a Go module, an npm package, the Go library.
type part struct {
	Kind     string // golang or npm
	Name     string
	Version  string
	Licences []string // SPDX ids; all of them hold
	Shipped  bool     // it is in the program; otherwise it only helps to build the page
	Sum      string   // golang: h1, npm: the integrity that its registry states
}

func (p part) String() string { return fmt.Sprintf("%s %s %s", p.Kind, p.Name, p.Version) }

func everything(ctx context.Context, root string) ([]part, error) {
	modules, err := goModules(ctx, root)
	if err != nil {
		return nil, err
	}
	packages, err := npmPackages(root)
	return append(modules, packages...), err
}

func checkLicences(parts []part) error {
	var problems []error
	for _, p := range parts {
		for _, l := range p.Licences {
			if p.Shipped && !compatible(l) {
				problems = append(problems, fmt.Errorf("%s is under %s, which is not known to fit the AGPL: read it, then choose another module, or add it to compatible in tools/inventory", p, l))
			}
		}
		if len(p.Licences) == 0 {
			problems = append(problems, fmt.Errorf("%s states no licence that we can recognise: read its files, then choose another module, or teach tools/inventory its text", p))
		}
	}
	return errors.Join(problems...)
}

func summary(parts []part) string {
	shipped := map[string]int{}
	licences := map[string]bool{}
	for _, p := range parts {
		if p.Shipped {
			shipped[p.Kind]++
			for _, l := range p.Licences {
				licences[l] = true
			}
		}
	}
	return fmt.Sprintf("in the program: %d Go modules and %d npm packages of others, under %d licences that fit the AGPL; %d parts only build the page",
		shipped["golang"], shipped["npm"], len(licences), len(parts)-shipped["golang"]-shipped["npm"])
}

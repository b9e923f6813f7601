// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/allmende-energy/allmende/charters"
	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/internal/config"
)

// charterCmd holds what one does with a charter before deciding on it. None of
// it changes anything: a charter comes into force by a decision, not by a file.
type charterCmd struct {
	Check    charterCheckCmd    `cmd:"" help:"Find mistakes in a charter and say how to mend them."`
	Hash     charterHashCmd     `cmd:"" help:"Print the fingerprint that members decide on."`
	Explain  charterExplainCmd  `cmd:"" help:"Tell a charter's rules in plain words."`
	Diff     charterDiffCmd     `cmd:"" help:"Say in words what another charter would change."`
	Template charterTemplateCmd `cmd:"" help:"Print a template to begin from."`

	Beta      charterBetaCmd      `cmd:"" help:"Read and write the file of coefficients that Spain's distributors take."`
	Templates charterTemplatesCmd `cmd:"" help:"List the templates, our own and those of jurisdictions."`
}

// charterFile is a charter to read, as all subcommands take it.
type charterFile struct {
	File string `arg:"" help:"The charter, a YAML file, or - for standard input."`
	JSON bool   `help:"Print as JSON, for programs."`
}

// errCharter is how a refused charter ends a command; its problems are beside it.
var errCharter = errors.New("the charter is not valid")

// readFor gives the charter, or the problems that keep it from being one; with a
// register it must have what the charter names. Its error is about the file itself.
func (f *charterFile) readFor(out *output, register *roll.Community) (charter.Charter, charters.Problems, error) {
	src := out.In
	if f.File != "-" {
		file, err := os.Open(f.File)
		if err != nil {
			return charter.Charter{}, nil, fmt.Errorf("%w; name a charter file, or get one to begin from: allmende charter template > charter.yaml", err)
		}
		defer func() { _ = file.Close() }() // only read: nothing can be lost
		src = file
	}
	text, err := io.ReadAll(io.LimitReader(src, charters.MaxSize+1)) // Decode refuses the byte too many
	if err != nil {
		return charter.Charter{}, nil, fmt.Errorf("reading the charter: %w", err)
	}
	decode := charters.Decode
	if register != nil {
		decode = func(text []byte) (charter.Charter, error) { return charters.DecodeFor(text, register) }
	}
	c, err := decode(text)
	if problems, ok := errors.AsType[charters.Problems](err); ok {
		return c, problems, nil
	}
	return c, nil, err
}

// valid reads the charter and its hash; problems become the error.
func (f *charterFile) valid(out *output) (c charter.Charter, hash string, err error) {
	return f.validFor(out, nil)
}

// validFor is valid for a community.
func (f *charterFile) validFor(out *output, register *roll.Community) (c charter.Charter, hash string, err error) {
	c, problems, err := f.readFor(out, register)
	if err != nil {
		return c, "", err
	}
	if len(problems) > 0 {
		f.list(out, problems)
		return c, "", errReported
	}
	hash, err = c.Hash()
	return c, hash, err
}

// list writes problems as compilers do, so that editors can jump to them.
func (f *charterFile) list(out *output, problems charters.Problems) {
	for _, p := range problems {
		place := f.File
		if p.Line > 0 {
			place += fmt.Sprintf(":%d", p.Line)
		}
		if p.Field != "" {
			place += ": " + p.Field
		}
		out.Remark("%s: %s\n", place, p.Message)
	}
	mistakes := "1 mistake"
	if n := len(problems); n != 1 {
		mistakes = fmt.Sprintf("%d mistakes", n)
	}
	out.Remark("%s: %s, %s; mend the lines above and check it again\n", f.File, errCharter, mistakes)
}

type charterCheckCmd struct {
	charterFile `embed:""`

	Community string `help:"A register (community.yaml): the groups, members and sites that the charter names must be in it." placeholder:"FILE"`
	Dir       string `help:"A community's folder, whose community.yaml is taken." placeholder:"FOLDER"`
}

// Help is what "allmende charter check --help" adds.
func (*charterCheckCmd) Help() string {
	return `Reads the file strictly: a field that no charter has, a value that means nothing,
or a name that comes twice is a mistake and not a guess. Each mistake is shown as

  FILE:LINE: field: what is wrong; what to write instead

all of them at once. The exit code is 0 for a valid charter and 1 otherwise.

An expression is checked for what it could ever do: a number that can overflow, a
division by zero, a weight of nothing, a loop or a fraction is a mistake, with what
to write instead. A charter that names a law is refused where it exceeds it.

Not a mistake, but remarked: where so few members are behind a round, a tier or a source that
the certificate which the ledger keeps of it tells neighbours what they need, or feed in.

Example:
  allmende charter template > charter.yaml
  allmende charter check charter.yaml
  allmende charter check --dir elm-road charter.yaml     are its groups and members there?`
}

// register is the community to check against; nil where none is named.
func (c *charterCheckCmd) register() (*roll.Community, error) {
	path := c.Community
	switch {
	case path != "" && c.Dir != "":
		return nil, errors.New("--community and --dir both name a register; give one of them")
	case path == "" && c.Dir == "":
		return nil, nil
	case path == "":
		path = filepath.Join(c.Dir, "community.yaml")
	}
	r, err := config.LoadCommunity(path)
	if err != nil {
		return nil, err
	}
	return &r, nil
}

// checkResult is the JSON of "charter check".
type checkResult struct {
	File     string            `json:"file"`
	Valid    bool              `json:"valid"`
	Name     string            `json:"name,omitempty"`
	Hash     string            `json:"hash,omitempty"`
	Problems charters.Problems `json:"problems"`
	// Remarks say where a valid charter would tell about single members.
	Remarks charters.Problems `json:"remarks,omitempty"`
}

// remarksOn lists them with the fields, without lines: nothing there is a mistake.
func remarksOn(c *charter.Charter, register *roll.Community) charters.Problems {
	var out charters.Problems
	for _, p := range charters.Remarks(c, register) {
		out = append(out, charters.Problem{Field: p.Path, Message: p.Message})
	}
	return out
}

// Run checks the file.
func (c *charterCheckCmd) Run(_ context.Context, out *output) error {
	register, err := c.register()
	if err != nil {
		return err
	}
	if c.JSON {
		return c.runJSON(out, register)
	}
	ch, hash, err := c.validFor(out, register)
	if err != nil {
		return err
	}
	out.Printf("%s: valid. “%s”, rules version %d\nhash %s\n", c.File, ch.Name, ch.RulesVersion, hash)
	for _, p := range remarksOn(&ch, register) {
		out.Remark("%s: not a mistake, but %s\n", c.File, p)
	}
	return nil
}

func (c *charterCheckCmd) runJSON(out *output, register *roll.Community) error {
	ch, problems, err := c.readFor(out, register)
	if err != nil {
		return err
	}
	res := checkResult{File: c.File, Valid: len(problems) == 0, Name: ch.Name, Problems: problems}
	if !res.Valid {
		if err := out.JSON(res); err != nil {
			return err
		}
		return errReported
	}
	res.Problems, res.Remarks = charters.Problems{}, remarksOn(&ch, register) // an empty list, not null
	if res.Hash, err = ch.Hash(); err != nil {
		return err
	}
	return out.JSON(res)
}

type charterHashCmd struct {
	charterFile `embed:""`
}

// Help is what "allmende charter hash --help" adds.
func (*charterHashCmd) Help() string {
	return `The hash is the SHA-256 of the charter's canonical form (JSON by RFC 8785). Notes,
blank lines, quotes and the order of fields don't change it; any change of a rule
does, and so does a change of name or summary. Every settled interval in the ledger
names the hash of the charter that it was settled by.

  allmende charter hash charter.yaml
  allmende charter hash --json charter.yaml     with the canonical form beside it`
}

// hashResult is the JSON of "charter hash".
type hashResult struct {
	File      string `json:"file"`
	Hash      string `json:"hash"`
	Canonical string `json:"canonical"` // the very bytes that are hashed
}

// Run prints the hash.
func (c *charterHashCmd) Run(_ context.Context, out *output) error {
	ch, hash, err := c.valid(out)
	if err != nil {
		return err
	}
	if !c.JSON {
		out.Printf("%s\n", hash)
		return nil
	}
	canonical, err := ch.Canonical()
	if err != nil {
		return err
	}
	return out.JSON(hashResult{File: c.File, Hash: hash, Canonical: string(canonical)})
}

type charterExplainCmd struct {
	charterFile `embed:""`
}

// Help is what "allmende charter explain --help" adds.
func (*charterExplainCmd) Help() string {
	return `Tells who gets what, by which arithmetic, who goes first, what batteries do, what
shared energy costs and when an interval is settled. Read it aloud at the assembly:
it is made from the rules themselves, so it says what the program will do.

  allmende charter explain charter.yaml`
}

// explainResult is the JSON of "charter explain".
type explainResult struct {
	File       string   `json:"file"`
	Name       string   `json:"name"`
	Hash       string   `json:"hash"`
	Paragraphs []string `json:"paragraphs"` // the name is not among them
}

// Run tells the rules.
func (c *charterExplainCmd) Run(_ context.Context, out *output) error {
	ch, hash, err := c.valid(out)
	if err != nil {
		return err
	}
	text := ch.Explain()
	if c.JSON {
		return out.JSON(explainResult{File: c.File, Name: text[0], Hash: hash, Paragraphs: text[1:]})
	}
	out.Printf("%s\n%s\n", text[0], strings.Repeat("=", utf8.RuneCountInString(text[0])))
	for _, paragraph := range text[1:] {
		out.Printf("\n%s\n", wrap(paragraph, 80))
	}
	out.Printf("\nhash %s\n", hash)
	return nil
}

// wrap breaks text into lines of at most width characters, at spaces.
func wrap(text string, width int) string {
	var b strings.Builder
	column := 0
	for i, word := range strings.Fields(text) {
		n := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case column+1+n > width:
			b.WriteByte('\n')
			column = 0
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += n
	}
	return b.String()
}

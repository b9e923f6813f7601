// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/allmende-energy/allmende/charters"
)

type charterTemplateCmd struct {
	Name string `arg:"" optional:"" help:"Which template; the first one if none is named."`
	JSON bool   `help:"List the templates with their hashes as JSON."`
}

// Help is what "allmende charter template --help" adds.
func (*charterTemplateCmd) Help() string {
	var names strings.Builder
	for _, name := range charters.Ours() {
		fmt.Fprintf(&names, "  allmende charter template %s > charter.yaml\n", name)
	}
	return "Templates are charters with notes for the people who change them:\n\n" + names.String() + `
Those of jurisdictions are listed by: allmende charter templates`
}

// Run prints the template.
func (c *charterTemplateCmd) Run(_ context.Context, out *output) error {
	if c.JSON {
		return listTemplates(out)
	}
	name := c.Name
	if name == "" {
		name = charters.Ours()[0]
	}
	return printTemplate(name, out)
}

type charterTemplatesCmd struct {
	Name string `arg:"" optional:"" help:"Print this template instead of the list."`
	JSON bool   `help:"Print the list as JSON, for programs."`
}

// Help is what "allmende charter templates --help" adds.
func (*charterTemplatesCmd) Help() string {
	return `Each of a jurisdiction's templates names the law and its date, what the operator
computes (which then binds), and what the community does. Each is explained in
docs/charters.md.

  allmende charter templates
  allmende charter templates cz-edc > charter.yaml`
}

// Run lists the templates, or prints one.
func (c *charterTemplatesCmd) Run(_ context.Context, out *output) error {
	switch {
	case c.Name != "":
		return printTemplate(c.Name, out)
	case c.JSON:
		return listTemplates(out)
	}
	list, err := templateList()
	if err != nil {
		return err
	}
	table := peopleTable{{"NAME", "WHERE", "WHAT IT IS", "THE LAW AS OF"}}
	for _, t := range list {
		where := t.Country
		if where == "" {
			where = "anywhere"
		}
		table = append(table, []string{t.Name, where, t.Title, t.Date})
	}
	table.print(out)
	return nil
}

// templateResult is one line of the JSON of "charter templates".
type templateResult struct {
	Name    string `json:"name"`
	Title   string `json:"title"`
	Hash    string `json:"hash"`
	Country string `json:"country,omitempty"` // of the law that it is written for
	Source  string `json:"source,omitempty"`
	Date    string `json:"date,omitempty"`
}

func templateList() ([]templateResult, error) {
	all := charters.Templates()
	list := make([]templateResult, len(all))
	for i, t := range all {
		ch, err := charters.Decode(t.YAML)
		if err != nil {
			return nil, fmt.Errorf("template %s: %w", t.Name, err)
		}
		hash, err := ch.Hash()
		if err != nil {
			return nil, fmt.Errorf("template %s: %w", t.Name, err)
		}
		list[i] = templateResult{Name: t.Name, Title: ch.Name, Hash: hash}
		if j := ch.Jurisdiction; j != nil {
			list[i].Country, list[i].Source, list[i].Date = j.Country, j.Source, j.Date
		}
	}
	return list, nil
}

func listTemplates(out *output) error {
	list, err := templateList()
	if err != nil {
		return err
	}
	return out.JSON(list)
}

func printTemplate(name string, out *output) error {
	all := charters.Templates()
	names := make([]string, len(all))
	for i, t := range all {
		if name == t.Name {
			out.Printf("%s", t.YAML)
			return nil
		}
		names[i] = t.Name
	}
	return fmt.Errorf("there is no template %q; there are %s (see: allmende charter templates)", name, strings.Join(names, ", "))
}

// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/allmende-energy/allmende/coordinator"
	"github.com/allmende-energy/allmende/gateway"
	"github.com/allmende-energy/allmende/internal/config"
	"github.com/allmende-energy/allmende/internal/settings"
)

// configCmd explains and checks how a coordinator is configured.
type configCmd struct {
	Explain configExplainCmd `cmd:"" help:"Say what each setting is, its default, its present value and where that comes from."`
	Show    configShowCmd    `cmd:"" help:"List the settings in force, secrets masked."`
	Check   configCheckCmd   `cmd:"" help:"Check configuration, register and charter as \"allmende serve\" would, and start nothing."`
}

// overrides are settings on the command line.
type overrides struct {
	Set []string `sep:"none" placeholder:"KEY=VALUE" help:"Change one setting for this run; may be given several times. \"allmende config explain\" lists all."`
}

func (o overrides) flags() ([]config.Flag, error) {
	var flags []config.Flag
	for _, text := range o.Set {
		f, err := settings.ParseSet(text)
		if err != nil {
			return nil, err
		}
		flags = append(flags, f)
	}
	return flags, nil
}

type configExplainCmd struct {
	Key string `arg:"" optional:"" placeholder:"KEY" help:"A setting such as http.listen, or the beginning of some, such as http; without, all."`
	Dir string `default:"." type:"path" placeholder:"DIR" help:"The community's folder. Where it holds no allmende.yaml, the defaults are shown."`
	overrides
	Gateway bool `help:"Explain the settings of a gateway, in gateway.yaml, instead."`
	JSON    bool `help:"Print as JSON."`
}

// explained is one setting in JSON.
type explained struct {
	Key      string         `json:"key"`
	Kind     string         `json:"kind"`
	Default  string         `json:"default"`
	Value    string         `json:"value"`
	From     settings.Layer `json:"from"`
	Place    string         `json:"place"`
	Line     int            `json:"line,omitempty"`
	Variable string         `json:"variable,omitempty"`
	Example  string         `json:"example,omitempty"`
	Help     string         `json:"help"`
}

// Help is shown by allmende config explain --help.
func (c *configExplainCmd) Help() string {
	return `Each setting can stand in allmende.yaml, in an environment variable, or behind
--set of "allmende serve"; the later of these counts.

  allmende config explain                    all settings
  allmende config explain http               those that begin with http
  allmende config explain http.listen --json`
}

func (c *configExplainCmd) Run(out *output) error {
	flags, err := c.flags()
	if err != nil {
		return err
	}
	_, loaded, err := config.Load(c.Dir, os.Environ(), flags...)
	switch {
	case c.Gateway && missing(c.Dir, gateway.ConfigFile):
		loaded, err = gateway.DefaultSettings(c.Dir)
	case c.Gateway:
		_, loaded, err = gateway.LoadSettings(c.Dir, os.Environ())
	case missing(c.Dir, config.ServeFile):
		_, loaded, err = config.Defaults(c.Dir)
	}
	if err != nil {
		return fmt.Errorf("the configuration needs a correction:\n%w", err)
	}
	return explain(out, loaded, c.Key, c.JSON)
}

func missing(dir, name string) bool {
	_, err := os.Stat(filepath.Join(dir, name))
	return errors.Is(err, fs.ErrNotExist)
}

// explain prints the settings that a name means: itself, or all it begins.
func explain(out *output, loaded *settings.Loaded, name string, asJSON bool) error {
	var all []explained
	set := loaded.Set()
	for _, k := range set.Keys() {
		if name == "" || k.Name == name || strings.HasPrefix(k.Name, name+".") {
			all = append(all, explained{
				Key: k.Name, Kind: k.Describe(), Default: k.Default, Value: loaded.Text(k.Name), From: loaded.From(k.Name),
				Place: loaded.Place(k.Name), Line: loaded.Line(k.Name), Variable: set.Variable(k), Example: k.Example, Help: k.Help,
			})
		}
	}
	switch {
	case len(all) == 0 && set.Suggest(name) != "":
		return fmt.Errorf("there is no setting %q; did you mean %s?", name, set.Suggest(name))
	case len(all) == 0:
		return fmt.Errorf("there is no setting %q; run it without a name for all", name)
	case asJSON:
		return out.JSON(all)
	}
	for i, e := range all {
		if i > 0 {
			out.Printf("\n")
		}
		e.print(out)
	}
	return nil
}

func (e explained) print(out *output) {
	out.Printf("%s: %s\n", e.Key, e.Kind)
	for _, line := range settings.Wrap(e.Help, 90) {
		out.Printf("  %s\n", line)
	}
	value := e.Value
	if value == "" {
		value = "nothing"
	}
	switch e.From {
	case settings.FromDefault:
		out.Printf("    now       %s (the default)\n", value)
	default:
		place := e.Place
		if e.Line > 0 {
			place = fmt.Sprintf("%s, line %d", place, e.Line)
		}
		out.Printf("    now       %s (from %s)\n    default   %s\n", value, place, orNothing(e.Default))
	}
	if e.Example != "" {
		out.Printf("    example   %s\n", e.Example)
	}
	if e.Variable != "" {
		out.Printf("    variable  %s\n", e.Variable)
	}
}

func orNothing(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}

type configShowCmd struct {
	Dir string `default:"." type:"existingdir" placeholder:"DIR" help:"The community's folder."`
	overrides
	JSON bool `help:"Print as JSON."`
}

// shown is a setting in force.
type shown struct {
	Value string         `json:"value"`
	From  settings.Layer `json:"from"`
	Place string         `json:"place"`
}

func (c *configShowCmd) Run(out *output) error {
	flags, err := c.flags()
	if err != nil {
		return err
	}
	_, loaded, err := config.Load(c.Dir, os.Environ(), flags...)
	if err != nil {
		return fmt.Errorf("the configuration needs a correction:\n%w", err)
	}
	all := map[string]shown{}
	table := tabwriter.NewWriter(out.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "setting\tvalue\tfrom\n")
	for _, k := range loaded.Set().Keys() {
		s := shown{loaded.Text(k.Name), loaded.From(k.Name), loaded.Place(k.Name)}
		from := s.Place
		switch s.From {
		case settings.FromDefault:
			from, s.Place = string(s.From), ""
		case settings.FromFile:
			from = fmt.Sprintf("%s:%d", config.ServeFile, loaded.Line(k.Name))
		default:
		}
		all[k.Name] = s
		fmt.Fprintf(table, "%s\t%s\t%s\n", k.Name, s.Value, from)
	}
	if c.JSON {
		return out.JSON(all)
	}
	return table.Flush()
}

type configCheckCmd struct {
	Dir string `default:"." type:"existingdir" placeholder:"DIR" help:"The community's folder."`
	overrides
	JSON bool `help:"Print as JSON."`
}

// checked is the outcome in JSON.
type checked struct {
	OK       bool     `json:"ok"`
	Problems []string `json:"problems"`
}

func (c *configCheckCmd) Run(out *output) error {
	flags, err := c.flags()
	if err != nil {
		return err
	}
	_, err = coordinator.Load(c.Dir, flags...)
	if c.JSON {
		result := checked{OK: err == nil, Problems: []string{}}
		if err != nil {
			result.Problems = strings.Split(err.Error(), "\n")
		}
		if wrote := out.JSON(result); wrote != nil || err == nil {
			return wrote
		}
		return errReported
	}
	if err != nil {
		return fmt.Errorf("the configuration needs a correction:\n%w", err)
	}
	out.Printf("Nothing is wrong with the configuration, the register and the charter of %s.\n", c.Dir)
	return nil
}

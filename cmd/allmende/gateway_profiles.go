// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/allmende-energy/allmende/gateway/device"
	"github.com/allmende-energy/allmende/gateway/profile"
	"github.com/allmende-energy/allmende/internal/strictyaml"
)

// gatewayProfilesCmd is about descriptions of devices. It asks no device.
type gatewayProfilesCmd struct {
	List  profilesListCmd  `cmd:"" default:"withargs" help:"List the profiles: which devices are known, and what can be commanded."`
	Show  profilesShowCmd  `cmd:"" help:"Show one: its registers, their sources, and how it is commanded."`
	Check profilesCheckCmd `cmd:"" help:"Find mistakes in a profile of your own and say how to mend them."`
}

// Help is shown by allmende gateway profiles --help.
func (c *gatewayProfilesCmd) Help() string {
	return `A profile describes the registers of a family of devices that does not speak
SunSpec: meters, hybrids, chargers, heat pumps, a grid operator's contact. It is a
YAML file of plain data, with the public sources that confirm each register.

  allmende gateway profiles
  allmende gateway profiles show huawei-sun2000
  allmende gateway profiles show eastron-sdm630 --source > profiles/my-meter.yaml
  allmende gateway profiles check profiles/my-meter.yaml

Yours go into a folder that gateway.yaml names (profiles:). One with the name of a
profile that comes with the program takes its place, and the gateway says so when
it starts. docs/profiles.md explains every field.`
}

type profilesListCmd struct {
	Kind     string `placeholder:"KIND" enum:",meter,inverter,battery,charger,heat_pump,contact" default:"" help:"Only those of a kind: meter, inverter, battery, charger, heat_pump or contact."`
	Profiles string `type:"existingdir" placeholder:"DIR" help:"A folder with profiles of your own."`
	JSON     bool   `help:"Print as JSON."`
}

// profileRow is a line of the list.
type profileRow struct {
	Name         string   `json:"name"`
	Manufacturer string   `json:"manufacturer"`
	Models       []string `json:"models"`
	Kinds        []string `json:"kinds"`
	Controls     []string `json:"controls"` // that may be written
	Origin       string   `json:"origin"`
	Replaces     bool     `json:"replaces"` // one that comes with the program
}

func newProfileRow(lib *profile.Library, p *profile.Profile) profileRow {
	r := profileRow{Name: p.Name, Manufacturer: p.Manufacturer, Models: p.Models, Kinds: []string{}, Controls: []string{}, Origin: p.Origin}
	for _, k := range p.Kinds {
		r.Kinds = append(r.Kinds, string(k))
	}
	for _, k := range p.Controls {
		if k.Confirmed {
			r.Controls = append(r.Controls, string(k.Quantity))
		}
	}
	if p.Reads == profile.SunSpec {
		r.Controls = append(r.Controls, "(what its SunSpec models have)")
	}
	for _, name := range lib.Replaced {
		r.Replaces = r.Replaces || name == p.Name
	}
	return r
}

// Run lists them.
func (c *profilesListCmd) Run(out *output) error {
	lib, err := profile.LoadLibrary(c.Profiles)
	if err != nil {
		return err
	}
	rows := []profileRow{}
	for _, p := range lib.All() {
		for _, k := range p.Kinds {
			if c.Kind == "" || string(k) == c.Kind {
				rows = append(rows, newProfileRow(lib, p))
				break
			}
		}
	}
	if c.JSON {
		return out.JSON(map[string]any{"profiles": rows})
	}
	t := peopleTable{{"PROFILE", "MAKER", "IS A", "CAN BE TOLD", "FROM"}}
	for _, r := range rows {
		from := r.Origin
		if r.Replaces {
			from += " (instead of ours)"
		}
		told := strings.Join(r.Controls, " ")
		if told == "" {
			told = "-"
		}
		t = append(t, []string{r.Name, r.Manufacturer, strings.Join(r.Kinds, " "), told, from})
	}
	t.print(out)
	return nil
}

type profilesShowCmd struct {
	Name     string `arg:"" help:"The profile, as the list has it."`
	Source   bool   `xor:"form" help:"Print its YAML file, to begin one of your own."`
	Profiles string `type:"existingdir" placeholder:"DIR" help:"A folder with profiles of your own."`
	JSON     bool   `xor:"form" help:"Print as JSON."`
}

// profileView is what show prints.
type profileView struct {
	profileRow
	Version  int              `json:"version"`
	Firmware string           `json:"firmware"`
	Sources  []sourceView     `json:"sources"`
	Notes    []string         `json:"notes"`
	Points   []profilePoint   `json:"points"`
	Ordered  []profileControl `json:"orders"`
}

type sourceView struct {
	ID      string `json:"id"`
	URL     string `json:"url"`
	Numbers string `json:"numbers"`
}

type profilePoint struct {
	Name    string   `json:"name"`
	Table   string   `json:"table"`
	Address int      `json:"address"` // -1 for a sum
	Type    string   `json:"type"`
	Unit    string   `json:"unit"`
	From    []string `json:"from"`
	Note    string   `json:"note"`
}

type profileControl struct {
	Quantity  string   `json:"quantity"`
	Confirmed bool     `json:"confirmed"`
	Switch    bool     `json:"switch"` // it is blocked below least, or let go
	Least     string   `json:"least"`
	Most      string   `json:"most"`
	Reverts   string   `json:"reverts"`
	From      []string `json:"from"`
	Note      string   `json:"note"`
}

// Run shows one.
func (c *profilesShowCmd) Run(out *output) error {
	lib, err := profile.LoadLibrary(c.Profiles)
	if err != nil {
		return err
	}
	p, err := lib.Get(c.Name)
	if err != nil {
		return err
	}
	if c.Source {
		src, err := lib.Source(c.Name)
		if err != nil {
			return err
		}
		out.Printf("%s", src)
		return nil
	}
	v := newProfileView(lib, p)
	if c.JSON {
		return out.JSON(v)
	}
	v.print(out)
	return nil
}

func newProfileView(lib *profile.Library, p *profile.Profile) profileView {
	v := profileView{
		profileRow: newProfileRow(lib, p), Version: p.Version, Firmware: p.Firmware, Notes: p.Notes,
		Sources: []sourceView{}, Points: []profilePoint{}, Ordered: []profileControl{},
	}
	all := make([]string, 0, len(p.Sources))
	for _, s := range p.Sources {
		v.Sources, all = append(v.Sources, sourceView{s.ID, s.URL, s.Numbers}), append(all, s.ID)
	}
	from := func(ids []string) []string {
		if len(ids) == 0 {
			return all
		}
		return ids
	}
	for _, pt := range p.Points {
		row := profilePoint{Name: pt.Name, Table: pt.Table.String(), Address: -1, Type: pt.Type.String(), Unit: pt.Unit, From: from(pt.From), Note: pt.Note}
		if pt.Address != nil {
			row.Address = int(*pt.Address)
		} else {
			row.Table, row.Type, row.From = "", "sum of "+strings.Join(pt.Sum, " "), nil
		}
		v.Points = append(v.Points, row)
	}
	for _, k := range p.Controls {
		row := profileControl{Quantity: string(k.Quantity), Confirmed: k.Confirmed, From: from(k.From), Note: k.Note, Reverts: reverts(&k), Switch: k.Switch}
		if k.Least != nil {
			row.Least = k.Least.String()
		}
		if k.Most != nil {
			row.Most = k.Most.String()
		}
		v.Ordered = append(v.Ordered, row)
	}
	return v
}

// reverts says how a device comes back to itself.
func reverts(k *profile.Control) string {
	switch r := k.Reversion; r.By {
	case device.RevertsByTimer:
		return fmt.Sprintf("by its timer, %d to %d s", r.LeastSeconds, r.MostSeconds)
	case device.RevertsByWatchdog:
		return fmt.Sprintf("%d s after the last write", r.Seconds)
	case device.NeverReverts:
		return "never; needs a signed waiver"
	default:
		return ""
	}
}

func (v *profileView) print(out *output) {
	out.Printf("%s, version %d: %s %s\n", v.Name, v.Version, v.Manufacturer, strings.Join(v.Models, ", "))
	out.Printf("is a %s; firmware: %s; from: %s\n\n", strings.Join(v.Kinds, ", "), v.Firmware, v.Origin)
	for _, n := range v.Notes {
		out.Printf("* %s\n", n)
	}
	t := peopleTable{{"", "", "", "", "", ""}, {"POINT", "REGISTER", "TYPE", "UNIT", "CONFIRMED BY", ""}}
	for _, p := range v.Points {
		register := ""
		if p.Address >= 0 {
			register = p.Table + " " + strconv.Itoa(p.Address)
		}
		t = append(t, []string{p.Name, register, p.Type, p.Unit, strings.Join(p.From, " "), p.Note})
	}
	t.print(out)
	for _, k := range v.Ordered {
		switch {
		case k.Confirmed && k.Switch:
			out.Printf("\n%s: blocked by a limit below %s W, or by what limits.rated_w says that yours draws, and else let go; reverts %s; confirmed by %s\n", k.Quantity, k.Least, k.Reverts, strings.Join(k.From, " "))
		case k.Confirmed:
			out.Printf("\n%s: %s to %s, reverts %s; confirmed by %s\n", k.Quantity, k.Least, k.Most, k.Reverts, strings.Join(k.From, " "))
		default:
			out.Printf("\n%s: not confirmed, so it is only read\n", k.Quantity)
		}
		if k.Note != "" {
			out.Printf("  %s\n", k.Note)
		}
	}
	out.Printf("\nSources (registers above count from 0, as on the wire):\n")
	for _, s := range v.Sources {
		out.Printf("  %s (counts %s): %s\n", s.ID, map[string]string{"wire": "from 0", "one": "from 1", "modicon": "from 40001"}[s.Numbers], s.URL)
	}
}

type profilesCheckCmd struct {
	File string `arg:"" type:"path" help:"The profile, a YAML file."`
	JSON bool   `help:"Print as JSON."`
}

// errProfile is how a refused profile ends the command; its problems are beside it.
var errProfile = errors.New("the profile is not valid; mend the lines above and check it again")

// Run reads the file as the gateway would.
func (c *profilesCheckCmd) Run(out *output) error {
	p, err := profile.ReadFile(c.File)
	problems, wrong := errors.AsType[strictyaml.Problems](err)
	if err != nil && !wrong {
		return err
	}
	if c.JSON {
		said := []string{}
		for _, problem := range problems {
			said = append(said, problem.Error())
		}
		if err := out.JSON(map[string]any{"valid": !wrong, "problems": said}); err != nil || !wrong {
			return err
		}
		return errProfile
	}
	if wrong {
		for _, problem := range problems {
			out.Printf("%s\n", problem.Error())
		}
		return errProfile
	}
	out.Printf("%s is good: %d points, %d controls. Copy it into the gateway's folder of profiles and write profile: %s to the device in gateway.yaml.\n",
		p.Name, len(p.Points), len(p.Controls), p.Name)
	return nil
}

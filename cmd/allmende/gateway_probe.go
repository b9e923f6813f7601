// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"text/tabwriter"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/device"
	"github.com/allmende-energy/allmende/gateway/dump"
)

// gatewayProbeCmd looks at one device.
type gatewayProbeCmd struct {
	unitFlags
	profileFlags
	Registers []dump.Range `placeholder:"RANGE" help:"Raw registers instead, such as holding:40000+125 or input:0-99. May be given several times."`
	All       bool         `help:"Also show the points that the device does not implement."`
	JSON      bool         `help:"Print as JSON."`
}

// Help is shown by allmende gateway probe --help.
func (c *gatewayProbeCmd) Help() string {
	return `Reads one device, and writes nothing to it: what it says it is, its SunSpec models
or its profile, and each point with value, unit and quality.

  allmende gateway probe tcp://192.168.1.50:502 --unit 1
  allmende gateway probe tcp://192.168.1.50:502 --unit 1 --json
  allmende gateway probe rtu:///dev/ttyUSB0?baud=9600 --unit 3 --registers input:0+40

Where a value is wrong, look at its registers: addresses count from 0 as on the
wire; manuals often print them one higher, or with 40001 in front.`
}

// probeView is what --json prints.
type probeView struct {
	URL string `json:"url"`
	device.Probed
}

// Run reads the device once.
func (c *gatewayProbeCmd) Run(ctx context.Context, out *output) error {
	l, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer l.close()
	if len(c.Registers) > 0 {
		return c.raw(ctx, out, l)
	}
	u, err := c.device(ctx, l, c.Unit)
	if err != nil {
		return nextStep(ctx, c.URL, c.Unit, err)
	}
	probed, err := device.Probe(ctx, c.Unit, u)
	if err != nil {
		return nextStep(ctx, c.URL, c.Unit, err)
	}
	if c.JSON {
		return out.JSON(probeView{c.URL, probed})
	}
	c.print(out, u.Kind(), probed)
	return nil
}

func (c *gatewayProbeCmd) print(out *output, kind roll.AssetKind, p device.Probed) {
	out.Printf("%s unit %d: %s\n", c.URL, c.Unit, kind)
	for _, row := range [][2]string{
		{"manufacturer", p.Device.Manufacturer},
		{"model", p.Device.Model},
		{"version", p.Device.Version},
		{"serial", p.Device.Serial},
		{"profile", p.Profile},
	} {
		if row[1] != "" {
			out.Printf("  %-13s %s\n", row[0], row[1])
		}
	}
	if p.Base != nil {
		out.Printf("  %-13s from register %d on:", "models", *p.Base)
		for _, m := range p.Models {
			out.Printf(" %d", m.ID)
		}
		out.Printf("\n")
	}
	for _, r := range p.Remarks {
		out.Remark("note: %s\n", r)
	}
	out.Printf("\n")
	w := tabwriter.NewWriter(out.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "MODEL\tADDRESS\tPOINT\tVALUE\tUNIT\tQUALITY")
	hidden := 0
	for _, q := range p.Points {
		if q.Quality == energy.NotImplemented && !c.All {
			hidden++
			continue
		}
		quality := q.Quality.String()
		if q.Reason != "" && q.Quality != energy.Good {
			quality += ": " + q.Reason
		}
		of := ""
		if q.Model != 0 {
			of = strconv.Itoa(int(q.Model))
		}
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s\n", of, q.Address, q.Name, spoken(q), q.Unit, quality)
	}
	w.Flush() //nolint:errcheck // output for a person
	if hidden > 0 {
		out.Remark("%d more points that the device does not implement; --all shows them.\n", hidden)
	}
}

// spoken is a value for a person: the name of an enumerated one beside its number.
func spoken(p device.Point) string {
	switch {
	case p.Value == "":
		return "-"
	case p.Meaning != "":
		return p.Value + " (" + p.Meaning + ")"
	}
	return p.Value
}

// raw prints registers as they are.
func (c *gatewayProbeCmd) raw(ctx context.Context, out *output, l *line) error {
	type registersView struct {
		URL    string       `json:"url"`
		Unit   uint8        `json:"unit"`
		Blocks []dump.Block `json:"registers"`
	}
	v := registersView{URL: c.URL, Unit: c.Unit, Blocks: []dump.Block{}}
	err := dump.Take(ctx, l, c.Unit, c.Registers, dump.Options{}, func(b dump.Block) error {
		v.Blocks = append(v.Blocks, b)
		return nil
	})
	if err != nil {
		return nextStep(ctx, c.URL, c.Unit, err)
	}
	if c.JSON {
		return out.JSON(v)
	}
	w := tabwriter.NewWriter(out.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "TABLE\tADDRESS\tHEX\tUNSIGNED\tSIGNED\tTEXT")
	for _, b := range v.Blocks {
		if b.Exception != 0 {
			fmt.Fprintf(w, "%s\t%d-%d\trefused with exception %d\n", b.Table, b.Address, int(b.Address)+b.Count-1, b.Exception)
		}
		for i, value := range b.Values {
			fmt.Fprintf(w, "%s\t%d\t%04x\t%d\t%d\t%s\n", b.Table, int(b.Address)+i, value, value, int16(value), letters(value))
		}
	}
	return errors.Join(w.Flush())
}

// letters are a register's two bytes, where both are text.
func letters(v uint16) string {
	hi, lo := byte(v>>8), byte(v)
	if hi < ' ' || hi > '~' || lo < ' ' || lo > '~' {
		return ""
	}
	return string([]byte{hi, lo})
}

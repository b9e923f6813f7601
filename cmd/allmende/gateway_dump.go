// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/allmende-energy/allmende/gateway/device"
	"github.com/allmende-energy/allmende/gateway/dump"
	"github.com/allmende-energy/allmende/gateway/sim"
	"github.com/allmende-energy/allmende/gateway/sim/wire"
)

// gatewayDumpCmd writes down what a device answers.
type gatewayDumpCmd struct {
	unitFlags
	Ranges    []dump.Range  `placeholder:"RANGE" help:"What to read, such as holding:0+1000,input:0-99; without, all that a SunSpec device says it has."`
	Out       string        `type:"path" placeholder:"FILE" help:"Where to write it; without, to standard output."`
	Anonymous bool          `help:"Mask the serial number and the address, so that the file can be given away."`
	Serial    string        `placeholder:"TEXT" help:"A serial number to mask, for a device that is not identified."`
	Block     int           `default:"100" help:"Most registers in one request, 1 to 125."`
	Pause     time.Duration `default:"20ms" placeholder:"TIME" help:"Quiet between two requests."`
	JSON      bool          `help:"Say as JSON what was written, on standard error where the image goes to standard output. The image itself is JSON lines."`
}

// Help is shown by allmende gateway dump --help.
func (c *gatewayDumpCmd) Help() string {
	return `Reads the registers of a device and writes them to a file, refusals included: one
JSON object a line. It writes nothing to the device. Where a device behaves in a
way that nobody expected, this is what to send along with the report.

  allmende gateway dump tcp://192.168.1.50:502 --unit 1 --out inverter.jsonl
  allmende gateway dump tcp://192.168.1.50:502 --unit 1 --ranges holding:0+500,input:0+200 --anonymous --out inverter.jsonl
  allmende gateway serve-dump inverter.jsonl --listen 127.0.0.1:5020

Ctrl-C ends it; what was read so far is in the file.`
}

// Run takes the image.
func (c *gatewayDumpCmd) Run(ctx context.Context, out *output) (err error) {
	if c.Block < 1 || c.Block > 125 {
		return fmt.Errorf("--block %d: write 1 to 125", c.Block)
	}
	l, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer l.close()
	ranges, err := c.whatToRead(ctx, l)
	if err != nil {
		return err
	}
	to := out.Out
	if c.Out != "" {
		f, err := os.OpenFile(c.Out, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
		if err != nil {
			return fmt.Errorf("the register image: %w", err)
		}
		defer func() {
			if closing := f.Close(); err == nil && closing != nil {
				err = fmt.Errorf("the register image: %w", closing)
			}
		}()
		to = f
	}
	read, refused, err := c.take(ctx, out, l, to, ranges)
	if ctx.Err() != nil && read+refused > 0 {
		out.Remark("Stopped; what was read until then is in the file.\n")
		err = nil
	}
	if err != nil {
		return nextStep(ctx, c.URL, c.Unit, err)
	}
	return c.report(out, read, refused)
}

// whatToRead is what was asked for, or all that the device says it has.
func (c *gatewayDumpCmd) whatToRead(ctx context.Context, l *line) ([]dump.Range, error) {
	if len(c.Ranges) > 0 && (!c.Anonymous || c.Serial != "") {
		return c.Ranges, nil
	}
	d, err := profileFlags{}.device(ctx, l, c.Unit)
	if err != nil && len(c.Ranges) > 0 && !failedOnTheWay(err) {
		return nil, fmt.Errorf("--anonymous: the device was not identified, so its serial number is not known: name it with --serial, or leave --anonymous out (%w)", err)
	}
	if err != nil {
		return nil, nextStep(ctx, c.URL, c.Unit, fmt.Errorf("what there is to read is not known: say it with --ranges, such as --ranges holding:0+1000,input:0+1000: %w", err))
	}
	if c.Serial == "" {
		c.Serial = d.Identity().Serial
	}
	if len(c.Ranges) > 0 {
		return c.Ranges, nil
	}
	laid, ok := d.(device.LaidOut)
	if !ok {
		return nil, fmt.Errorf("a device of profile %s does not say what it has: name it with --ranges, such as --ranges holding:0+1000,input:0+1000", d.Profile())
	}
	layout := laid.Layout()
	end := int(layout.Base) + 2
	for _, m := range layout.Models {
		end = max(end, int(m.Address)+2+int(m.Length))
	}
	const marker = 2 // the end of the chain
	return []dump.Range{{Table: dump.Holding, Address: layout.Base, Count: min(end+marker, 1<<16) - int(layout.Base)}}, nil
}

func (c *gatewayDumpCmd) take(ctx context.Context, out *output, l *line, to io.Writer, ranges []dump.Range) (read, refused int, err error) {
	h := dump.Header{URL: c.URL, Taken: time.Now(), Software: "allmende " + buildInformation().Version, Anonymous: c.Anonymous}
	if c.Anonymous {
		h.URL = "masked"
	}
	enc, err := dump.NewEncoder(to, h)
	if err != nil {
		return 0, 0, err
	}
	bar := newProgress(out, "reading")
	defer bar.clear()
	err = dump.Take(ctx, l, c.Unit, ranges, dump.Options{Block: c.Block, Pause: c.Pause, Progress: bar.show}, func(b dump.Block) error {
		if c.Anonymous {
			b.Mask(c.Serial)
		}
		read, refused = read+len(b.Values), refused+b.Count
		return enc.Write(b)
	})
	return read, refused, err
}

func (c *gatewayDumpCmd) report(out *output, read, refused int) error {
	if c.JSON {
		o := *out
		if c.Out == "" {
			o.Out = out.Err
		}
		return o.JSON(map[string]any{"url": c.URL, "unit": c.Unit, "file": c.Out, "addresses_read": read, "addresses_refused": refused})
	}
	where := ""
	if c.Out != "" {
		where = fmt.Sprintf(" in %s; serve them again: allmende gateway serve-dump %s", c.Out, c.Out)
	}
	out.Remark("%d addresses that answered and %d that were refused%s\n", read, refused, where)
	return nil
}

// gatewayServeDumpCmd makes a device of a file.
type gatewayServeDumpCmd struct {
	File   string `arg:"" type:"existingfile" help:"What allmende gateway dump has written."`
	Listen string `default:"127.0.0.1:5020" placeholder:"ADDRESS" help:"Where it answers: HOST:PORT, rtuovertcp://HOST:PORT, or pty: for a serial line that does not exist."`
	Faults string `type:"existingfile" placeholder:"FILE" help:"Let it misbehave by the rules in this file."`
	JSON   bool   `help:"Say as JSON where it answers."`
}

// Help is shown by allmende gateway serve-dump --help.
func (c *gatewayServeDumpCmd) Help() string {
	return `Serves a register image over Modbus, so that a device which stands in somebody
else's cellar can be looked at and tested against. Addresses that were refused
are refused with the same exception; writes are kept until it ends.

  allmende gateway serve-dump inverter.jsonl --listen 127.0.0.1:5020
  allmende gateway probe tcp://127.0.0.1:5020 --unit 1`
}

// Run serves until ctx ends.
func (c *gatewayServeDumpCmd) Run(ctx context.Context, out *output) error {
	f, err := os.Open(c.File)
	if err != nil {
		return err
	}
	image, err := dump.Decode(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("%s: %w", c.File, err)
	}
	handler, err := sim.Recorded(image)
	if err != nil {
		return err
	}
	var o wire.Options
	if c.Faults != "" {
		src, err := os.ReadFile(c.Faults)
		if err != nil {
			return err
		}
		if o.Faults, err = wire.DecodeRules(c.Faults, src); err != nil {
			return err
		}
	}
	s, err := wire.Listen(c.Listen, handler, o)
	if err != nil {
		return err
	}
	if c.JSON {
		err = out.JSON(map[string]any{"url": s.URL(), "units": numbers(image.Units()), "taken": image.Header.Taken, "software": image.Header.Software})
	} else {
		out.Printf("%s answers as units %v with the registers of %s\nstop it with Ctrl-C\n", s.URL(), image.Units(), image.Header.Taken.Format(time.RFC3339))
	}
	if err == nil {
		<-ctx.Done()
	}
	return errors.Join(err, s.Close())
}

// numbers are unit ids as JSON numbers; a []uint8 would be text in base 64.
func numbers(units []uint8) []int {
	out := make([]int, len(units))
	for i, u := range units {
		out[i] = int(u)
	}
	return out
}

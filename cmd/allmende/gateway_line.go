// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/allmende-energy/allmende/gateway/modbus"
	"github.com/allmende-energy/allmende/gateway/scan"
	"github.com/allmende-energy/allmende/gateway/sunspec"
)

// line is a bus that runs for the length of a command.
type line struct {
	*modbus.Bus
	stop context.CancelFunc
	done chan struct{}
}

// openLine checks the address and starts the bus; nothing is sent yet.
func openLine(ctx context.Context, cfg modbus.Config) (*line, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	l := &line{Bus: modbus.NewBus(cfg), stop: stop, done: make(chan struct{})}
	go func() {
		defer close(l.done)
		_ = l.Run(ctx) // it fails only on a configuration that was checked above
	}()
	return l, nil
}

// close ends the bus, the exchange in flight first.
func (l *line) close() {
	l.stop()
	<-l.done
}

// unitFlags name one device.
type unitFlags struct {
	URL     string        `arg:"" name:"url" help:"Where its bus is: tcp://HOST:PORT, rtu:///dev/ttyUSB0?baud=9600 and the like."`
	Unit    uint8         `required:"" placeholder:"N" help:"The device's Modbus unit id (some call it slave address), 0 to 255."`
	Timeout time.Duration `default:"2s" placeholder:"TIME" help:"How long to wait for one answer."`
}

// open starts the line.
func (f *unitFlags) open(ctx context.Context) (*line, error) {
	return openLine(ctx, modbus.Config{URL: f.URL, Timeout: f.Timeout})
}

// nextStep adds the next step to what went wrong with a device. The error says
// what happened; what to do depends on how the device failed.
func nextStep(ctx context.Context, url string, unit uint8, err error) error {
	var refused modbus.ErrException
	hint := ""
	address, overTCP := strings.CutPrefix(url, "tcp://")
	switch {
	case ctx.Err() != nil:
		return errors.New("stopped before the device had answered")
	case errors.Is(err, sunspec.ErrNotSunSpec) && errors.As(err, &refused):
		hint = refusalHint(url, refused)
	case errors.Is(err, sunspec.ErrNotSunSpec) && !failedOnTheWay(err):
		hint = "it speaks Modbus but is no SunSpec device: name what it is with --profile, or switch SunSpec on in it; raw registers show with --registers holding:0+10"
	case errors.As(err, &refused):
		hint = refusalHint(url, refused)
	case failedOnTheWay(err) && overTCP:
		what := scan.Sniff(ctx, address)
		switch {
		case what != "":
			hint = what
		case errors.Is(err, modbus.ErrProtocol):
			hint = "whatever listens there does not speak Modbus TCP: check the port; 502 and 1502 are usual"
		default:
			hint = fmt.Sprintf("the port is open, but unit %d never answers: it is asleep, or has another unit id; `allmende gateway scan %s` tries the usual ones", unit, url)
		}
	case failedOnTheWay(err):
		hint = fmt.Sprintf("check power, wiring (A and B swapped?), speed and parity, and the unit id; `allmende gateway scan %q` tries the usual ones", url)
	}
	if hint == "" {
		return err
	}
	return fmt.Errorf("%w\n  %s", err, hint)
}

// failedOnTheWay says that no valid answer came at all.
func failedOnTheWay(err error) bool {
	return errors.Is(err, modbus.ErrTimeout) || errors.Is(err, modbus.ErrProtocol) || errors.Is(err, modbus.ErrUnavailable)
}

func refusalHint(url string, e modbus.ErrException) string {
	switch e.Code {
	case modbus.TargetSilent, modbus.PathUnavailable:
		return fmt.Sprintf("a Modbus gateway answers, but no device behind it has this unit id; `allmende gateway scan %s` tries the usual ones", url)
	case modbus.IllegalFunction:
		return "something speaks Modbus there, but refuses to be read: check the unit id, and that Modbus is switched on for reading in the device's menu"
	case modbus.DeviceBusy:
		return "the device is busy, perhaps with another client: try again in a minute, and see whether another program reads it"
	}
	return "the device speaks Modbus but has none of the registers that were asked for: check the unit id, name what it is with --profile, or look at raw registers with --registers holding:0+10"
}

// SPDX-License-Identifier: AGPL-3.0-or-later

// Package doctor looks at a gateway's folder, its devices' addresses and the way
// to its coordinator, and says what it sees and how to mend what is wrong. It
// changes nothing, and speaks to no device while the gateway runs: many devices
// take one caller at a time.
package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/allmende-energy/allmende/gateway"
	"github.com/allmende-energy/allmende/gateway/spool"
	"github.com/allmende-energy/allmende/gateway/uplink"
	"github.com/allmende-energy/allmende/internal/doctor"
)

const dialFor = 3 * time.Second

// Checks are those of a gateway's folder, in the order in which to read them.
func Checks(dir string, now func() time.Time) []doctor.Check {
	cfg, err := gateway.Load(dir)
	if err != nil {
		return []doctor.Check{{Name: "configuration", Look: func(context.Context) (found []doctor.Finding) {
			for line := range strings.SplitSeq(err.Error(), "\n") {
				found = append(found, doctor.Ill("correct "+filepath.Join(dir, gateway.ConfigFile), "%s", line))
			}
			return found
		}}, doctor.Clock(now()), doctor.Space(dir), doctor.Memory()}
	}
	p := patient{cfg: cfg, now: now}
	return []doctor.Check{
		p.configuration(),
		doctor.Clock(now()),
		doctor.Space(dir, cfg.Spool.Dir),
		doctor.Memory(),
		doctor.Private("permissions", filepath.Join(cfg.Identity, uplink.IdentityFile)),
		p.identity(),
		p.coordinator(),
		p.spool(),
		p.commands(),
		p.limits(),
		p.devices(),
	}
}

// patient is one gateway that is looked at.
type patient struct {
	cfg gateway.Config
	now func() time.Time
}

func one(f doctor.Finding) []doctor.Finding { return []doctor.Finding{f} }

func (p *patient) configuration() doctor.Check {
	return doctor.Check{Name: "configuration", Look: func(context.Context) []doctor.Finding {
		return one(doctor.Well("%d devices", len(p.cfg.Devices)))
	}}
}

const mendIdentity = "ask for a token at the coordinator (allmende gateway token GATEWAY), then run here: allmende gateway enrol TOKEN"

func (p *patient) identity() doctor.Check {
	return doctor.Check{Name: "certificate", Look: func(context.Context) []doctor.Finding {
		id, err := uplink.LoadIdentity(p.cfg.Identity)
		if err != nil {
			return one(doctor.Ill(mendIdentity, "%v", err))
		}
		what := string(id.Gateway) + " of " + string(id.Community)
		if left := id.NotAfter.Sub(p.now()); left <= 0 {
			return one(doctor.Worry("let the gateway run: it renews it by itself as soon as it reaches the coordinator. If that refuses it, "+mendIdentity, "%s: it ended on %s", what, id.NotAfter.UTC().Format(time.DateOnly)))
		}
		return one(doctor.Well("%s, good until %s; it renews itself", what, id.NotAfter.UTC().Format(time.DateOnly)))
	}}
}

// coordinator goes as far as the coordinator's certificate, and says no word.
func (p *patient) coordinator() doctor.Check {
	return doctor.Check{Name: "coordinator", Look: func(ctx context.Context) []doctor.Finding {
		conn, err := (&net.Dialer{Timeout: dialFor}).DialContext(ctx, "tcp", p.cfg.Coordinator)
		if err != nil {
			return one(doctor.Ill("is it running, is its address right in "+gateway.ConfigFile+", and does a firewall let this computer through? What is measured is kept meanwhile", "nobody answers at %s: %v", p.cfg.Coordinator, err))
		}
		defer conn.Close()
		id, err := uplink.LoadIdentity(p.cfg.Identity)
		if err != nil {
			return one(doctor.Well("somebody answers at %s", p.cfg.Coordinator))
		}
		ctx, cancel := context.WithTimeout(ctx, dialFor)
		defer cancel()
		if err := tls.Client(conn, id.TLS()).HandshakeContext(ctx); err != nil {
			return one(doctor.Ill("is "+p.cfg.Coordinator+" the coordinator's address for gateways? If the community has a new authority, "+mendIdentity, "who answers at %s is not the coordinator of %s: %v", p.cfg.Coordinator, id.Community, err))
		}
		return one(doctor.Well("it answers at %s", p.cfg.Coordinator))
	}}
}

// spool looks at the samples on disk.
func (p *patient) spool() doctor.Check {
	return doctor.Check{Name: "spool", Look: func(context.Context) []doctor.Finding {
		dir := p.cfg.Spool.Dir
		size, err := segments(dir)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return one(doctor.Well("there is none yet: the first run makes it"))
		case err != nil:
			return one(doctor.Ill("run this as the user that the gateway runs as", "%v", err))
		}
		if f := doctor.Writable(dir); f.State != doctor.OK {
			return one(f)
		}
		most := p.cfg.Spool.MaxBytes
		if most == 0 {
			most = spool.DefaultMaxBytes
		}
		const nearly = 90
		if 100*size/most > nearly {
			return one(doctor.Worry("bring the coordinator back, or raise spool.max_mb in "+gateway.ConfigFile, "it takes %d of the %d MiB that it may: what was acknowledged goes first, then new samples are refused", size>>20, most>>20))
		}
		return one(doctor.Well("it takes %d of the %d MiB that it may", size>>20, most>>20))
	}}
}

// commands looks at what must be readable for devices to be commanded at all.
func (p *patient) commands() doctor.Check {
	return doctor.Check{Name: "commands", Look: func(context.Context) (found []doctor.Finding) {
		for _, k := range []gateway.Kept{gateway.KeptEpoch(p.cfg.Spool.Dir), gateway.KeptWrites(p.cfg.Spool.Dir)} {
			if k.Err != nil {
				found = append(found, doctor.Ill(k.Mend, "devices are measured and not commanded: %v", k.Err))
				continue
			}
			found = append(found, doctor.Well("%s", k.Says))
		}
		return found
	}}
}

// limits says what holds while the coordinator is away, and who does not see to it.
func (p *patient) limits() doctor.Check {
	return doctor.Check{Name: "limits", Look: func(context.Context) []doctor.Finding {
		feed, load := p.cfg.Offline()
		return one(doctor.Well("while no coordinator is there: %s, and %s. Nobody adds this up with other gateways under the same connection: "+
			"see that together they stay within its limit. The coordinator commands the power of batteries and sets no limits", feed, load))
	}}
}

func segments(dir string) (size int64, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			size += info.Size()
		}
	}
	return size, nil
}

// devices looks at each bus, once.
func (p *patient) devices() doctor.Check {
	return doctor.Check{Name: "devices", Patience: time.Minute, Look: func(ctx context.Context) (found []doctor.Finding) {
		runs := spool.InUse(p.cfg.Spool.Dir)
		var seen []string
		for _, d := range p.cfg.Devices {
			if slices.Contains(seen, d.URL) {
				continue
			}
			seen = append(seen, d.URL)
			if f := bus(ctx, d.URL, runs); f.State != "" {
				found = append(found, f)
			}
		}
		if runs {
			found = append(found, doctor.Well("the gateway runs and speaks to them; the coordinator's page shows how they are"))
		}
		return found
	}}
}

// bus looks at one, as far as that disturbs nobody.
func bus(ctx context.Context, address string, runs bool) doctor.Finding {
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return doctor.Ill("correct it in "+gateway.ConfigFile, "%s: %v", address, err)
	case u.Scheme != "tcp":
		return line(u.Path)
	case runs:
		return doctor.Finding{}
	}
	conn, err := (&net.Dialer{Timeout: dialFor}).DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return doctor.Ill("see that it is switched on, that Modbus TCP is enabled on it, and that its address is right", "%s does not answer: %v", address, err)
	}
	_ = conn.Close() // that it answers was all
	return doctor.Well("%s answers", address)
}

// line looks at a serial line.
func line(path string) doctor.Finding {
	if err := doctor.MayUse(path); errors.Is(err, fs.ErrNotExist) {
		return doctor.Ill("plug the adapter in; ls /dev/serial/by-id shows names that stay the same", "%s is not there", path)
	} else if err != nil {
		return doctor.Ill("let the user that the gateway runs as use it: usermod -aG dialout USER, then start the gateway again", "%s: %v", path, err)
	}
	return doctor.Well("%s can be used", path)
}

// SPDX-License-Identifier: AGPL-3.0-or-later

// Package doctor looks at a coordinator's folder, its database and, if it runs,
// the coordinator itself, and says what it sees and how to mend what is wrong.
// It changes nothing, and works whether the coordinator runs or not.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/allmende-energy/allmende/coordinator"
	"github.com/allmende-energy/allmende/coordinator/backup"
	"github.com/allmende-energy/allmende/coordinator/store"
	"github.com/allmende-energy/allmende/internal/adminsocket"
	"github.com/allmende-energy/allmende/internal/config"
	"github.com/allmende-energy/allmende/internal/doctor"
)

// Options say what to look at.
type Options struct {
	Dir  string // the community's folder
	Full bool   // also what takes long: every page, every leaf
	// Gateways asks the running coordinator; nil: nobody can be asked.
	Gateways func(context.Context) ([]Gateway, error)
	Now      func() time.Time
}

// Gateway is what a running coordinator says of one.
type Gateway struct {
	ID              string
	Connected       bool
	Enrolled        bool
	LastSeen        time.Time
	ClockOffset     time.Duration
	ClockKnown      bool
	SpoolPending    uint64
	DevicesOnline   int
	DevicesTotal    int
	Problem         string
	CertificateEnds time.Time // zero: it has none
}

// Checks are those of a coordinator, in the order in which to read them.
func Checks(ctx context.Context, o Options) []doctor.Check {
	if o.Now == nil {
		o.Now = time.Now
	}
	serve, err := config.LoadServe(o.Dir)
	if err != nil {
		return []doctor.Check{{Name: "configuration", Look: func(context.Context) []doctor.Finding {
			return lines(err, "correct "+filepath.Join(o.Dir, config.ServeFile)+"; allmende config explain says what may stand there")
		}}, doctor.Clock(o.Now()), doctor.Space(o.Dir), doctor.Memory()}
	}
	p := patient{o: o, serve: serve}
	p.running, p.why = running(ctx, serve.Data)
	checks := []doctor.Check{
		p.configuration(),
		p.coordinator(),
		doctor.Clock(o.Now()),
		p.worldTime(),
		doctor.Space(o.Dir, serve.Data),
		doctor.Memory(),
		p.permissions(),
		p.certificates(),
		p.ports(),
		p.database(),
		p.ledger(),
		p.backup(),
		p.series(),
		p.gateways(),
	}
	return checks
}

// patient is one community that is looked at.
type patient struct {
	o       Options
	serve   config.Serve
	running bool
	why     error // why that cannot be told
}

func running(ctx context.Context, data string) (bool, error) {
	conn, err := adminsocket.Dial(ctx, data)
	switch {
	case err == nil:
		return true, conn.Close()
	case errors.Is(err, adminsocket.ErrNotRunning):
		return false, nil
	}
	return false, err
}

// lines makes a finding of each line of an error, because several things may be wrong.
func lines(err error, mend string) (found []doctor.Finding) {
	for line := range strings.SplitSeq(err.Error(), "\n") {
		found = append(found, doctor.Ill(mend, "%s", line))
	}
	return found
}

func one(f doctor.Finding) []doctor.Finding { return []doctor.Finding{f} }

func (p *patient) configuration() doctor.Check {
	return doctor.Check{Name: "configuration", Look: func(ctx context.Context) []doctor.Finding {
		cfg, err := coordinator.Load(p.o.Dir)
		if err != nil {
			return lines(err, "correct it, then start the coordinator again")
		}
		zone := doctor.Zone(cfg.Roll.Timezone, p.o.Now()).Look(ctx)
		return append(one(doctor.Well("%s (%s), everything in %s can be read", cfg.Roll.Name, cfg.Roll.ID, config.ServeFile)), zone...)
	}}
}

func (p *patient) coordinator() doctor.Check {
	return doctor.Check{Name: "coordinator", Look: func(context.Context) []doctor.Finding {
		switch {
		case p.why != nil:
			return one(doctor.Worry("run this as the user that the coordinator runs as: sudo -u allmende allmende doctor …", "whether it runs cannot be told: %v", p.why))
		case p.running:
			return one(doctor.Well("it runs"))
		}
		return one(doctor.Worry("start it: allmende serve --dir "+p.o.Dir+", or systemctl start allmende", "it does not run"))
	}}
}

// worldTime compares the clock with the latest time that the ledger has seen.
func (p *patient) worldTime() doctor.Check {
	return doctor.Check{Name: "clock", Look: func(ctx context.Context) []doctor.Finding {
		db, ok, finding := p.open(ctx)
		if !ok {
			return finding
		}
		defer db.Close() //nolint:errcheck // it was only read
		at, known, err := db.WorldTime(ctx)
		if err != nil || !known {
			return nil // the database says what is wrong with it
		}
		const patience = 2 * time.Minute // the coordinator waits that out
		if ahead := at.Time().Sub(p.o.Now()); ahead > patience {
			return one(doctor.Ill("set the clock: timedatectl set-ntp true. In a simulated world this is as it should be", "it stands %s before the latest time that the ledger has seen (%s), and the coordinator does not start like that", ahead.Round(time.Second), at))
		}
		return one(doctor.Well("it stands after everything that the ledger has seen"))
	}}
}

// open opens the database for reading; where that is not possible the database's
// own check says why, and this one nothing.
func (p *patient) open(ctx context.Context) (*store.Reader, bool, []doctor.Finding) {
	if there, err := store.Exists(ctx, p.serve.Database.Reveal()); err != nil || !there {
		return nil, false, nil
	}
	db, err := store.OpenCopy(ctx, p.serve.Database.Reveal())
	return db, err == nil, nil
}

func (p *patient) permissions() doctor.Check {
	secret := []string{p.serve.LedgerKey, p.serve.Data, p.serve.Authority, filepath.Join(p.serve.Authority, "ca.key"), filepath.Join(p.serve.Authority, "server.key")}
	for _, file := range []string{p.serve.Series.InfluxDB.TokenFile, p.serve.Server.PasswordFile, p.serve.HTTP.TLS.Key, p.serve.GRPC.TLS.Key} {
		if file != "" {
			secret = append(secret, file)
		}
	}
	check := doctor.Private("permissions", secret...)
	look := check.Look
	check.Look = func(ctx context.Context) []doctor.Finding {
		found := look(ctx)
		if f := doctor.Writable(p.serve.Data); f.State != doctor.OK {
			if _, err := os.Stat(p.serve.Data); !errors.Is(err, os.ErrNotExist) { // the first start makes it
				found = append(found, f)
			}
		}
		return found
	}
	return check
}

// backup looks when the last one was made.
func (p *patient) backup() doctor.Check {
	return doctor.Check{Name: "backup", Look: func(context.Context) []doctor.Finding {
		mend := "allmende backup --dir " + p.o.Dir + " --to /media/… --recipients age1…; docs/backup.md says how to have it made each night"
		last, ok, err := backup.ReadLast(p.serve.Data)
		switch {
		case err != nil:
			return one(doctor.Worry(mend, "when the last one was made cannot be read: %v", err))
		case !ok:
			return one(doctor.Worry(mend, "none was ever made on this computer"))
		}
		found := one(age(last, p.o.Now(), mend))
		if !last.Encrypted {
			found = append(found, doctor.Worry("allmende backup key makes a key to encrypt it for", "the last one is not encrypted, and holds the community's secret keys"))
		}
		return found
	}}
}

func age(last backup.Last, now time.Time, mend string) doctor.Finding {
	const day = 24 * time.Hour
	old := now.Sub(last.At)
	what := fmt.Sprintf("the last one was made on %s (%s)", last.At.Format(time.DateOnly), last.File)
	switch {
	case old > 40*day:
		// The gateways' spools reach no further back.
		return doctor.Ill(mend, "%s: what lies more than 40 days back the gateways could not bring again", what)
	case old > 8*day:
		return doctor.Worry(mend, "%s, %d days ago", what, int(old/day))
	}
	return doctor.Well("%s", what)
}

// SPDX-License-Identifier: AGPL-3.0-or-later

package coordinator

import (
	"context"
	"net"
	"strings"
	"time"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/coordinator/access"
	"github.com/allmende-energy/allmende/coordinator/people"
	"github.com/allmende-energy/allmende/internal/config"
	"github.com/allmende-energy/allmende/internal/telemetry"
)

// admit opens the accounts and sets up the guard that asks for them.
func (c *Coordinator) admit() error {
	policy, err := access.Load()
	if err != nil {
		return err
	}
	// Nobody needs an account to look around in a simulated world.
	visitors := c.cfg.Simulated && c.cfg.People.Visitors != config.VisitorsNone
	c.guard = &access.Guard{Policy: policy, Anonymous: policy.Anonymous(visitors)}
	base := c.webAddress()
	c.people = people.New(people.Config{
		Community: c.cfg.Roll.Name, Base: base, Secure: strings.HasPrefix(base, "https:"), MinAggregate: c.minAggregate(),
		Member: func(id roll.MemberID) bool {
			for _, m := range c.register.Current().Members {
				if m.ID == id {
					return true
				}
			}
			return false
		},
	}, c.store, c.guard, c.log)
	return nil
}

// measurePeople are the counters of accounts, of nobody in particular.
func (c *Coordinator) measurePeople() telemetry.Group {
	return telemetry.Group{
		Metrics: []telemetry.Metric{
			{Name: "allmende_sign_ins_total", Help: "Sign-ins by how they ended: good, wrong, delayed (too many attempts before) or busy (too many at once).", Kind: telemetry.Total, Labels: []string{"outcome"}},
			{Name: "allmende_passwords_hashing", Help: "Passwords that are being looked at, or wait for it."},
			{Name: "allmende_audit_entries_total", Help: "Entries of the audit log: written, merged into another one, or lost because they could not be written.", Kind: telemetry.Total, Labels: []string{"outcome"}},
		},
		Take: func(set telemetry.Setter) {
			s := c.people.Stats()
			set(0, float64(s.SignedIn), "good")
			set(0, float64(s.Wrong), "wrong")
			set(0, float64(s.Delayed), "delayed")
			set(0, float64(s.Busy), "busy")
			set(1, float64(s.Hashing))
			set(2, float64(s.AuditRows), "written")
			set(2, float64(s.AuditMerged), "merged")
			set(2, float64(s.AuditLost), "lost")
		},
	}
}

// minAggregate is how many members stand behind what everybody sees.
func (c *Coordinator) minAggregate() int {
	if n := c.cfg.People.MinAggregate; n > 0 {
		return n
	}
	return access.DefaultCrowd
}

// webAddress is the page's address as people open it.
func (c *Coordinator) webAddress() string {
	if a := c.cfg.People.Address; a != "" {
		return strings.TrimSuffix(a, "/")
	}
	host, port, err := net.SplitHostPort(c.addresses.HTTP)
	if err != nil {
		return "http://" + c.addresses.HTTP
	}
	scheme, usual := "http", "80"
	if c.encryption.http != nil {
		scheme, usual = "https", "443"
	}
	ip := net.ParseIP(host)
	switch {
	case len(c.cfg.HTTP.Names) > 0:
		host = c.cfg.HTTP.Names[0]
	case c.cfg.HTTP.TLS.ACME:
		host = c.cfg.ACME.Domains[0]
	case ip != nil && (ip.IsLoopback() || ip.IsUnspecified()):
		host = "localhost" // passkeys need a name
	}
	if port == usual {
		return scheme + "://" + host
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}

// SetupNeeded says whether nobody looks after accounts yet, where somebody must.
func (c *Coordinator) SetupNeeded(ctx context.Context) (bool, error) {
	if c.cfg.Simulated {
		return false, nil
	}
	return c.people.SetupNeeded(ctx)
}

// SetupLink makes the link by which the first account is made; ok is false
// where there is somebody already who looks after accounts, and in a simulated
// world, where nobody needs to.
func (c *Coordinator) SetupLink(ctx context.Context) (url string, expires time.Time, ok bool, err error) {
	if c.cfg.Simulated {
		return "", time.Time{}, false, nil
	}
	return c.people.SetupLink(ctx)
}

// SPDX-License-Identifier: AGPL-3.0-or-later

package doctor

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/allmende-energy/allmende/internal/config"
	"github.com/allmende-energy/allmende/internal/doctor"
)

const dialFor = 3 * time.Second

// certificates looks at the authority, and at what listeners show.
func (p *patient) certificates() doctor.Check {
	return doctor.Check{Name: "certificates", Look: func(context.Context) []doctor.Finding {
		now := p.o.Now()
		found := one(doctor.CertificateFile("the authority's", filepath.Join(p.serve.Authority, "ca.crt"), now, false,
			"bring the folder back from a backup; where there is none: allmende init makes an authority in a new folder, and every gateway has to enrol again"))
		for name, l := range map[string]config.Listener{"http": p.serve.HTTP, "grpc": p.serve.GRPC} {
			if l.TLS.Cert != "" {
				found = append(found, doctor.CertificateFile("that of "+name+".listen", l.TLS.Cert, now, false, "renew it (certbot renew), or name the new one at "+name+".tls.cert"))
			}
		}
		return found
	}}
}

// ports looks whether the listeners are ours, or can be.
func (p *patient) ports() doctor.Check {
	return doctor.Check{Name: "ports", Look: func(ctx context.Context) (found []doctor.Finding) {
		for _, l := range []struct{ name, address string }{
			{"http.listen", p.serve.HTTP.Listen}, {"grpc.listen", p.serve.GRPC.Listen}, {"gateways.listen", p.serve.Gateways.Listen},
		} {
			if strings.HasSuffix(l.address, ":0") {
				continue // any that is free
			}
			if p.running {
				found = append(found, answers(ctx, l.name, l.address))
			} else {
				found = append(found, vacant(ctx, l.name, l.address))
			}
		}
		return found
	}}
}

// answers dials what the running coordinator listens on.
func answers(ctx context.Context, name, address string) doctor.Finding {
	conn, err := (&net.Dialer{Timeout: dialFor}).DialContext(ctx, "tcp", reachable(address))
	if err != nil {
		return doctor.Ill("was "+name+" changed since the start? Start the coordinator again: systemctl restart allmende", "%s: nobody answers at %s, although the coordinator runs: %v", name, address, err)
	}
	_ = conn.Close() // that it answers was all
	return doctor.Well("%s answers at %s", name, address)
}

// vacant tries to listen.
func vacant(ctx context.Context, name, address string) doctor.Finding {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return doctor.Ill("see who has it: ss -ltnp; then end that, or write another address at "+name, "%s: %v", name, err)
	}
	_ = l.Close() // that it could be had was all
	return doctor.Well("%s is free at %s", name, address)
}

// reachable is an address to dial, for one that listens everywhere.
func reachable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err == nil && (host == "" || ip != nil && ip.IsUnspecified()) {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return address
}

// series looks at where time series go.
func (p *patient) series() doctor.Check {
	return doctor.Check{Name: "time series", Look: func(ctx context.Context) []doctor.Finding {
		s := p.serve.Series
		switch s.Store {
		case config.SeriesNone:
			return one(doctor.Well("none are kept, as series.store says"))
		case config.SeriesInfluxDB:
			return one(influx(ctx, s.InfluxDB))
		case config.SeriesEmbedded:
		}
		return one(doctor.Well("they are kept in %s", s.File))
	}}
}

// influx asks InfluxDB whether it is there, which both of its versions answer
// without a password.
func influx(ctx context.Context, c config.InfluxDB) doctor.Finding {
	const mend = "start InfluxDB, or correct series.influxdb.url. Until then charts have a gap; nothing that is booked is missing"
	ask, err := url.JoinPath(c.URL, "ping")
	if err != nil {
		return doctor.Ill(mend, "%v", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, ask, http.NoBody)
	if err != nil {
		return doctor.Ill(mend, "%v", err)
	}
	client := &http.Client{Timeout: dialFor, Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(request)
	if err != nil {
		return doctor.Ill(mend, "InfluxDB does not answer: %v", err)
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, 1<<16)) // its words don't matter
	if answer.StatusCode >= http.StatusBadRequest {
		return doctor.Ill(mend, "InfluxDB at %s answers %s", c.URL, answer.Status)
	}
	return doctor.Well("InfluxDB at %s answers", c.URL)
}

// gateways asks the running coordinator how its gateways are.
func (p *patient) gateways() doctor.Check {
	return doctor.Check{Name: "gateways", Look: func(ctx context.Context) []doctor.Finding {
		if !p.running || p.o.Gateways == nil {
			return nil // the coordinator's own check says that it does not run
		}
		all, err := p.o.Gateways(ctx)
		if err != nil {
			return one(doctor.Ill("is the coordinator of the same version? See: allmende version", "the coordinator does not tell: %v", err))
		}
		if len(all) == 0 {
			return one(doctor.Worry("allmende gateway token makes one that a gateway enrols with", "there are none"))
		}
		var found []doctor.Finding
		for _, g := range all {
			found = append(found, g.finding(p.o.Now()))
		}
		return found
	}}
}

func (g Gateway) finding(now time.Time) doctor.Finding {
	const (
		offMost     = 10 * time.Second
		pendingMost = 10_000
	)
	switch {
	case !g.Enrolled && !g.Connected:
		return doctor.Worry("allmende gateway token "+g.ID+", then enrol it with that", "%s is not enrolled", g.ID)
	case !g.Connected:
		seen := "has not connected since the coordinator's start"
		if !g.LastSeen.IsZero() {
			seen = "is away since " + g.LastSeen.UTC().Format(time.DateTime)
		}
		return doctor.Ill("see whether it has power and network, then look at it there: allmende doctor --dir FOLDER. It keeps what it measures", "%s %s", g.ID, seen)
	case g.ClockKnown && (g.ClockOffset > offMost || g.ClockOffset < -offMost):
		return doctor.Ill("set its clock there: timedatectl set-ntp true", "%s: its clock is off by %s", g.ID, g.ClockOffset)
	case g.Problem != "":
		return doctor.Worry("see its page, or allmende doctor on its computer", "%s: %s", g.ID, g.Problem)
	case g.SpoolPending > pendingMost:
		return doctor.Worry("it catches up by itself; if it does not, look at the network between it and here", "%s has %d samples that are not here yet", g.ID, g.SpoolPending)
	case !g.CertificateEnds.IsZero() && g.CertificateEnds.Before(now):
		return doctor.Worry("it renews it by itself when it connects next; if it does not: allmende gateway token "+g.ID+", and enrol it again", "%s: its certificate ended on %s", g.ID, g.CertificateEnds.UTC().Format(time.DateOnly))
	}
	return doctor.Well("%s is connected, %d of %d devices answer", g.ID, g.DevicesOnline, g.DevicesTotal)
}

// SPDX-License-Identifier: AGPL-3.0-or-later

package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/allmende-energy/allmende/internal/settings"
)

// Certificates are the bounds of gateways' certificates, on the wall clock.
type Certificates struct {
	Life time.Duration // a gateway renews its own after two thirds of it
	// Grace is how long after its end a certificate may still be renewed, and
	// nothing else.
	Grace time.Duration
}

// certificateKeys belong to the settings of gateways.
func certificateKeys(s *Serve) []settings.Key {
	const (
		leastLife, mostLife = time.Hour, 400 * day
		mostGrace           = 3650 * day
	)
	return []settings.Key{
		{
			Name: "gateways.certificate_life", Value: days(&s.Certificates.Life, leastLife, mostLife), Default: "30d", Example: "90d",
			Help: "How long a gateway's certificate lives. The gateway renews it by itself after two thirds of that. Shorter makes a copied key useless sooner; longer leaves more time to mend a coordinator that is away.",
		},
		{
			Name: "gateways.certificate_grace", Value: days(&s.Certificates.Grace, 0, mostGrace), Default: "365d", Example: "0d",
			Help: "For how long after its end a certificate may still be renewed, and nothing else, unless it was revoked or a newer one of the gateway was used. So a gateway that was switched off over a winter comes back by itself. With 0d it needs a new token.",
		},
	}
}

const day = 24 * time.Hour

// days is a length of wall time, written in days or as Go writes durations.
func days(into *time.Duration, least, most time.Duration) settings.Value {
	return settings.Parsed(into, "time", inDays(least)+" to "+inDays(most), func(s string) (time.Duration, error) {
		d, err := parseDays(s)
		if err == nil && (d < least || d > most) {
			err = fmt.Errorf("%s: write %s to %s", inDays(d), inDays(least), inDays(most))
		}
		return d, err
	})
}

func parseDays(s string) (time.Duration, error) {
	if n, isDays := strings.CutSuffix(s, "d"); isDays {
		if count, err := strconv.ParseUint(n, 10, 16); err == nil {
			return time.Duration(count) * day, nil
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("%.40q: write days, such as 30d, or hours, such as 12h", s)
	}
	return d, nil
}

// inDays writes whole days as days.
func inDays(d time.Duration) string {
	if d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	s := d.String()
	for _, nothing := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(s, nothing) {
			s = s[:len(s)-2]
		}
	}
	return s
}

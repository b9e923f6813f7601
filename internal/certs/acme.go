// SPDX-License-Identifier: AGPL-3.0-or-later

package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
)

// ACMEOptions say which certificate to get, and from whom.
type ACMEOptions struct {
	Domains   []string
	Email     string // where the authority writes to when something is wrong; may be empty
	Directory string // URL of the authority
	CAFile    string // PEM, of an authority of your own; empty: those that this computer trusts
	Storage   string // folder of account, keys and certificates
	HTTPPort  int    // where port 80 of the domains arrives; 0: not used
	TLSPort   int    // where port 443 of the domains arrives; 0: not used
	Log       *slog.Logger
}

// ACME is a certificate that an authority gives and renews.
type ACME struct {
	options ACMEOptions
	cache   *certmagic.Cache
	magic   *certmagic.Config
	issuer  *certmagic.ACMEIssuer
	wake    chan struct{}
	stop    func()

	mu     sync.Mutex
	failed map[string]error // by domain
	ends   time.Time        // the earliest of the domains'
}

// OpenACME prepares; nothing is asked of the authority before [ACME.Run].
// Certificates of an earlier run are in use at once.
func OpenACME(ctx context.Context, o ACMEOptions) (*ACME, error) {
	var roots *x509.CertPool
	if o.CAFile != "" {
		pem, err := os.ReadFile(o.CAFile)
		if err != nil {
			return nil, fmt.Errorf("acme: the authority's own certificate: %w", err)
		}
		if roots = x509.NewCertPool(); !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("acme: %s holds no certificate in PEM", o.CAFile)
		}
	}
	if err := os.MkdirAll(o.Storage, 0o700); err != nil {
		return nil, fmt.Errorf("acme: %w", err)
	}
	a := &ACME{options: o, wake: make(chan struct{}, 1), failed: map[string]error{}}
	logger := zapLogger(o.Log)
	a.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return a.magic, nil },
		Logger:           logger,
	})
	a.stop = sync.OnceFunc(a.cache.Stop)
	a.magic = certmagic.New(a.cache, certmagic.Config{
		Storage:            &certmagic.FileStorage{Path: o.Storage},
		DefaultServerName:  o.Domains[0], // also for callers by address, on this computer
		FallbackServerName: o.Domains[0],
		OnEvent:            a.event,
		Logger:             logger,
		OCSP:               certmagic.OCSPConfig{DisableStapling: true}, // authorities have ended OCSP, and it would tell them of visits
	})
	a.issuer = certmagic.NewACMEIssuer(a.magic, certmagic.ACMEIssuer{
		CA: o.Directory, TestCA: o.Directory, Email: o.Email, Agreed: true, TrustedRoots: roots,
		DisableHTTPChallenge: o.HTTPPort == 0, DisableTLSALPNChallenge: o.TLSPort == 0,
		AltHTTPPort: o.HTTPPort, AltTLSALPNPort: o.TLSPort,
		DisableDistributedSolvers: true, Logger: logger,
	})
	a.magic.Issuers = []certmagic.Issuer{a.issuer}
	for _, domain := range o.Domains {
		// What was obtained before serves at once; what is missing comes with Run.
		if _, err := a.magic.CacheManagedCertificate(ctx, domain); err != nil && !errors.Is(err, os.ErrNotExist) {
			a.failed[domain] = fmt.Errorf("reading the certificate back: %w", err)
		}
	}
	a.count()
	return a, nil
}

// Close ends what [ACME.Run] would have ended.
func (a *ACME) Close() { a.stop() }

// event is told of each attempt to get a certificate.
func (a *ACME) event(_ context.Context, event string, data map[string]any) error {
	domain, _ := data["identifier"].(string)
	switch event {
	case "cert_failed":
		err, _ := data["error"].(error)
		if err == nil {
			err = errors.New("the authority gave none")
		}
		a.note(domain, err)
	case "cert_obtained":
		a.note(domain, nil)
	case "cached_managed_cert": // in use from now on
	default:
		return nil
	}
	a.Reload()
	return nil
}

func (a *ACME) note(domain string, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil {
		a.failed[domain] = err
		return
	}
	delete(a.failed, domain)
}

// count finds out when the first of the certificates ends.
func (a *ACME) count() {
	var ends time.Time
	for _, domain := range a.options.Domains {
		var last time.Time
		for _, c := range a.cache.AllMatchingCertificates(domain) {
			if c.Leaf != nil && c.Leaf.NotAfter.After(last) {
				last = c.Leaf.NotAfter
			}
		}
		if last.IsZero() {
			ends = last
			break
		}
		if ends.IsZero() || last.Before(ends) {
			ends = last
		}
	}
	a.mu.Lock()
	a.ends = ends
	a.mu.Unlock()
}

// Config implements [Source].
func (a *ACME) Config() *tls.Config {
	cfg := a.magic.TLSConfig()
	cfg.MinVersion = tls.VersionTLS12
	cfg.CipherSuites, cfg.CurvePreferences = nil, nil // Go's own choice
	cfg.NextProtos = append([]string{"h2", "http/1.1"}, cfg.NextProtos...)
	return cfg
}

// Reload implements [Source].
func (a *ACME) Reload() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// Ends implements [Source].
func (a *ACME) Ends() time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ends
}

// Run implements [Source]: it gets what is missing, renews in time, and tries
// again by itself where the authority says no.
func (a *ACME) Run(ctx context.Context, report func(error)) {
	defer a.stop()
	if err := a.magic.ManageAsync(ctx, a.options.Domains); err != nil {
		a.note(a.options.Domains[0], err)
	}
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		a.count()
		report(a.problem(time.Now()))
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-a.wake:
		}
	}
}

// problem is what is wrong now, and what to do about it.
func (a *ACME) problem(now time.Time) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	var all []error
	domains := slices.Sorted(func(yield func(string) bool) {
		for d := range a.failed {
			if !yield(d) {
				return
			}
		}
	})
	for _, domain := range domains {
		all = append(all, fmt.Errorf("no certificate for %s: %s; it is tried again by itself: check that the name leads to this computer, and that port 80 or 443 does", domain, oneLine(a.failed[domain])))
	}
	if len(all) == 0 && a.ends.IsZero() {
		all = append(all, fmt.Errorf("the certificate for %s has not come yet: %s is being asked", strings.Join(a.options.Domains, ", "), a.options.Directory))
	}
	if !a.ends.IsZero() && a.ends.Sub(now) < warnSince/2 && len(all) > 0 { // renewal comes earlier
		all = append(all, endingSoon("from "+a.options.Directory, a.ends, now))
	}
	return errors.Join(all...)
}

// oneLine is an error without line breaks, as it stands in a list.
func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// Challenges answers an authority's questions that come over plain HTTP, and
// leaves everything else to next.
func (a *ACME) Challenges(next http.Handler) http.Handler { return a.issuer.HTTPChallengeHandler(next) }

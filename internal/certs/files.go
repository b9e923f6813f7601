// SPDX-License-Identifier: AGPL-3.0-or-later

package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of certificates in files.
const (
	lookEvery = 15 * time.Second    // for changed files, on the wall clock
	warnSince = 14 * 24 * time.Hour // before a certificate's end
	maxFile   = 1 << 20
)

// Source is a certificate that is kept good.
type Source interface {
	// Config is for a listener; it follows each change by itself.
	Config() *tls.Config
	// Run keeps the certificate good until ctx ends. report gets what is wrong
	// now, or nil.
	Run(ctx context.Context, report func(error))
	// Reload looks for a new certificate at once.
	Reload()
	// Ends is when the certificate in use ends; zero where there is none yet.
	Ends() time.Time
}

// Files is a certificate in two PEM files.
type Files struct {
	cert, key string
	current   atomic.Pointer[tls.Certificate]
	wake      chan struct{}

	mu   sync.Mutex
	seen [2]stamp // of the files in use
}

// stamp tells whether a file was changed.
type stamp struct {
	at   time.Time
	size int64
}

// OpenFiles reads a certificate with its chain, and its key.
func OpenFiles(cert, key string) (*Files, error) {
	f := &Files{cert: cert, key: key, wake: make(chan struct{}, 1)}
	if err := f.read(); err != nil {
		return nil, err
	}
	return f, nil
}

// read takes both files into use, or says why it cannot.
func (f *Files) read() error {
	seen, err := f.stamps()
	if err != nil {
		return err
	}
	pair, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		return fmt.Errorf("certificate %s with key %s: %w: both are PEM files, the certificate with its chain", f.cert, f.key, err)
	}
	if now := time.Now(); now.After(pair.Leaf.NotAfter) {
		return fmt.Errorf("certificate %s ended on %s: renew it", f.cert, pair.Leaf.NotAfter.Format(time.DateTime))
	} else if now.Before(pair.Leaf.NotBefore) {
		return fmt.Errorf("certificate %s begins on %s: check this computer's clock", f.cert, pair.Leaf.NotBefore.Format(time.DateTime))
	}
	f.current.Store(&pair)
	f.mu.Lock()
	f.seen = seen
	f.mu.Unlock()
	return nil
}

func (f *Files) stamps() (out [2]stamp, err error) {
	for i, path := range []string{f.cert, f.key} {
		info, err := os.Stat(path)
		if err != nil {
			return out, fmt.Errorf("certificate: %w", err)
		}
		if info.Size() > maxFile {
			return out, fmt.Errorf("certificate: %s is larger than a certificate can be: check its path", path)
		}
		if path == f.key && info.Mode().Perm()&0o007 != 0 {
			return out, fmt.Errorf("certificate: %s can be read by everybody on this computer (mode %04o): run `chmod o-rwx %s`", path, info.Mode().Perm(), path)
		}
		out[i] = stamp{info.ModTime(), info.Size()}
	}
	return out, nil
}

// Config implements [Source]: TLS 1.2 and later, with Go's choice of ciphers.
func (f *Files) Config() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return f.current.Load(), nil },
	}
}

// Reload implements [Source].
func (f *Files) Reload() {
	select {
	case f.wake <- struct{}{}:
	default: // it will look in any case
	}
}

// Ends implements [Source].
func (f *Files) Ends() time.Time { return f.leaf().NotAfter }

func (f *Files) leaf() *x509.Certificate { return f.current.Load().Leaf }

// Run implements [Source].
func (f *Files) Run(ctx context.Context, report func(error)) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		report(errors.Join(f.look(), f.ending()))
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-f.wake:
		}
	}
}

// look reads the files if they are not those in use. Where one of the two was
// replaced and the other not yet, they don't fit, and the next look comes soon.
func (f *Files) look() error {
	now, err := f.stamps()
	if err != nil {
		return fmt.Errorf("%w; the certificate read before stays in use", err)
	}
	f.mu.Lock()
	same := now == f.seen
	f.mu.Unlock()
	if same {
		return nil
	}
	if err := f.read(); err != nil {
		return fmt.Errorf("%w; the certificate read before stays in use", err)
	}
	return nil
}

func (f *Files) ending() error {
	return endingSoon(f.cert, f.Ends(), time.Now())
}

func endingSoon(name string, ends, now time.Time) error {
	if ends.IsZero() || ends.Sub(now) > warnSince {
		return nil
	}
	return fmt.Errorf("certificate %s ends on %s: renew it", name, ends.Format(time.DateTime))
}

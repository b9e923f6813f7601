// SPDX-License-Identifier: AGPL-3.0-or-later

package doctor

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// Private looks at files that nobody else may read. Those that are not there
// are passed over: whoever needs them says so.
func Private(name string, paths ...string) Check {
	return Check{Name: name, Look: func(context.Context) (found []Finding) {
		there := 0
		for _, path := range paths {
			f, ok := private(path)
			if ok {
				there++
			}
			if f.State != "" {
				found = append(found, f)
			}
		}
		if found == nil {
			found = append(found, Well("keys and data are for their owner alone (%d looked at)", there))
		}
		return found
	}}
}

// private is an empty finding where nothing is wrong; ok says that the path is there.
func private(path string) (f Finding, ok bool) {
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return Finding{}, false
	}
	if err != nil {
		return Ill("run this as the user that the program runs as, for example: sudo -u allmende allmende doctor …", "%v", err), true
	}
	want := "600"
	if info.IsDir() {
		want = "700"
	}
	if loose := info.Mode().Perm() & 0o077; loose != 0 {
		return Ill(fmt.Sprintf("chmod %s %s", want, path), "%s can be read or changed by other users (mode %04o)", path, info.Mode().Perm()), true
	}
	if !info.IsDir() {
		f, err := os.Open(path)
		if err != nil {
			return Ill(fmt.Sprintf("give it to the user that the program runs as: chown USER %s", path), "%v", err), true
		}
		_ = f.Close() // it was only opened
	}
	return Finding{}, true
}

// Writable looks at folders that the program has to write into, without writing.
func Writable(path string) Finding {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return Ill(fmt.Sprintf("make it, for the user that the program runs as: mkdir -p %s", path), "%v", err)
	case !info.IsDir():
		return Ill(fmt.Sprintf("move the file %s away", path), "%s is no folder", path)
	case !mayWrite(path):
		return Ill(fmt.Sprintf("give it to the user that the program runs as: chown -R USER %s", path), "%s: this user may not write into it", path)
	}
	return Well("%s can be written", path)
}

// Certificate says how long a certificate is still good. renews tells that the
// program makes a new one by itself in time.
func Certificate(what string, cert *x509.Certificate, now time.Time, renews bool, mend string) Finding {
	left := cert.NotAfter.Sub(now)
	until := cert.NotAfter.UTC().Format(time.DateOnly)
	const soon = 21 * 24 * time.Hour
	switch {
	case now.Before(cert.NotBefore):
		return Ill("set this computer's clock: timedatectl set-ntp true", "%s is good from %s on only", what, cert.NotBefore.UTC().Format(time.DateTime))
	case left <= 0 && renews:
		return Worry(mend, "%s ended on %s", what, until)
	case left <= 0:
		return Ill(mend, "%s ended on %s", what, until)
	case left < soon && !renews:
		return Worry(mend, "%s ends on %s, in %d days", what, until, int(left.Hours()/24))
	}
	return Well("%s is good until %s", what, until)
}

// CertificateFile is [Certificate] for the first certificate in a PEM file.
func CertificateFile(what, path string, now time.Time, renews bool, mend string) Finding {
	b, err := readSome(path)
	if err != nil {
		return Ill(mend, "%s: %v", what, err)
	}
	for {
		block, rest := pem.Decode(b)
		if block == nil {
			return Ill(mend, "%s: there is no certificate in %s", what, path)
		}
		if b = rest; block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return Ill(mend, "%s: %s: %v", what, path, err)
		}
		return Certificate(what, cert, now, renews, mend)
	}
}

func readSome(path string) ([]byte, error) {
	const most = 1 << 20
	f, err := os.Open(filepath.Clean(path))
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, most))
	return b, errors.Join(err, f.Close())
}

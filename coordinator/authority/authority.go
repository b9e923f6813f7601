// SPDX-License-Identifier: AGPL-3.0-or-later

// Package authority is the community's own certificate authority. It signs the
// certificates by which gateways and coordinator know each other, and nothing
// else: no name of the web, no second authority.
//
// A gateway is named allmende://<community>/gateway/<id> in its certificate's
// URI, the coordinator allmende://<community>/coordinator. A signing request
// brings a public key; what its certificate says is decided here. The
// authority's key lies in a file that only its owner can read; who loses it
// enrols every gateway again, who leaks it lets others pose as gateways.
package authority

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/allmende-energy/allmende/commons/roll"
)

// Files of an authority's folder.
const (
	caCertFile     = "ca.crt"
	caKeyFile      = "ca.key"
	serverCertFile = "server.crt"
	serverKeyFile  = "server.key"
)

// Lifetimes. A server's certificate is renewed by itself, well before its end; a
// gateway's life is the caller's choice.
const (
	caLife      = 20 * 365 * 24 * time.Hour
	serverLife  = 397 * 24 * time.Hour
	serverRenew = 60 * 24 * time.Hour
	// backdate tolerates a clock that is a little behind.
	backdate = time.Hour
)

// Authority signs for one community. It is safe for concurrent use.
type Authority struct {
	dir       string
	community roll.CommunityID
	cert      *x509.Certificate
	key       crypto.Signer
	names     []string
	now       func() time.Time

	mu     sync.Mutex
	server *tls.Certificate
}

// Exists says whether dir holds an authority.
func Exists(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, caKeyFile))
	return err == nil
}

// Create makes a new authority in dir. It refuses where one is already, because
// every gateway trusts that one.
func Create(dir string, community roll.CommunityID, now time.Time) error {
	if Exists(dir) {
		return fmt.Errorf("authority: %s holds one already, and gateways trust it: keep it, or move the folder away and enrol every gateway again", dir)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("authority: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("authority: making a key: %w", err)
	}
	serial, err := newSerial()
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: "Allmende authority of " + string(community)},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(caLife),
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		// One more authority may follow in the chain: a later one, which this one
		// vouches for when its own end is near.
		MaxPathLen: 1,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return fmt.Errorf("authority: signing itself: %w", err)
	}
	// The key is written last: a folder with a key is complete.
	if err := writeCert(filepath.Join(dir, caCertFile), der); err != nil {
		return err
	}
	return writeKey(filepath.Join(dir, caKeyFile), key)
}

// Open reads the authority in dir. names are the DNS names and IP addresses by
// which gateways reach the coordinator besides loopback; now is wall time.
func Open(dir string, community roll.CommunityID, names []string, now func() time.Time) (*Authority, error) {
	cert, err := readCert(filepath.Join(dir, caCertFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("authority: there is none in %s: restore the folder from a backup, or make a new one with `allmende init` and enrol every gateway again", dir)
	}
	if err != nil {
		return nil, err
	}
	key, err := readKey(filepath.Join(dir, caKeyFile))
	if err != nil {
		return nil, err
	}
	a := &Authority{dir: dir, community: community, cert: cert, key: key, names: serverNames(names), now: now}
	if err := a.check(); err != nil {
		return nil, err
	}
	if _, err := a.serverCertificate(); err != nil {
		return nil, err
	}
	return a, nil
}

func (a *Authority) check() error {
	pub, ok := a.cert.PublicKey.(*ecdsa.PublicKey)
	switch {
	case !ok || !pub.Equal(a.key.Public()):
		return fmt.Errorf("authority: key and certificate in %s do not belong together: restore both from the same backup", a.dir)
	case !a.cert.IsCA:
		return fmt.Errorf("authority: %s is no authority's certificate: restore it from a backup", filepath.Join(a.dir, caCertFile))
	case a.now().After(a.cert.NotAfter):
		return fmt.Errorf("authority: expired on %s: move %s away, run `allmende init` for a new one and enrol every gateway again", a.cert.NotAfter.Format(time.DateOnly), a.dir)
	case a.now().Before(a.cert.NotBefore):
		return fmt.Errorf("authority: valid only from %s: this computer's clock is behind, set it (timedatectl)", a.cert.NotBefore.Format(time.RFC3339))
	}
	return nil
}

// DER is the authority's certificate.
func (a *Authority) DER() []byte { return slices.Clone(a.cert.Raw) }

// Fingerprint is the hex SHA-256 of [Authority.DER]; enrolment tokens carry it.
func (a *Authority) Fingerprint() string {
	sum := sha256.Sum256(a.cert.Raw)
	return hex.EncodeToString(sum[:])
}

// Config is the TLS side of the gateways' listener. Enrolling needs no client
// certificate; where one is shown, it must be one that this authority signed for
// a gateway. Whether it has ended is looked at later, call by call, because
// renewing takes one that has. Each connection proves its key anew: a resumed
// session would prove a ticket.
func (a *Authority) Config() *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		ClientAuth:             tls.RequestClientCert,
		ClientCAs:              pool, // a hint for the client
		SessionTicketsDisabled: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			if len(state.PeerCertificates) == 0 {
				return nil
			}
			_, err := a.Client(state.PeerCertificates[0])
			return err
		},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return a.serverCertificate()
		},
		NextProtos: []string{"h2"},
	}
}

// serverCertificate is the coordinator's own, renewed before it ends and when
// its names or the authority changed.
func (a *Authority) serverCertificate() (*tls.Certificate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.server == nil {
		a.server = a.readServer()
	}
	if a.server != nil && a.now().Before(a.server.Leaf.NotAfter.Add(-serverRenew)) {
		return a.server, nil
	}
	fresh, err := a.issueServer()
	if err != nil {
		if a.server != nil && a.now().Before(a.server.Leaf.NotAfter) {
			return a.server, nil // the disk may be full; there are weeks to go
		}
		return nil, err
	}
	a.server = fresh
	return fresh, nil
}

// readServer is the stored certificate, or nil if a new one is due.
func (a *Authority) readServer() *tls.Certificate {
	cert, err := readCert(filepath.Join(a.dir, serverCertFile))
	if err != nil {
		return nil
	}
	key, err := readKey(filepath.Join(a.dir, serverKeyFile))
	if err != nil {
		return nil
	}
	pub, ok := cert.PublicKey.(*ecdsa.PublicKey)
	if !ok || !pub.Equal(key.Public()) || cert.CheckSignatureFrom(a.cert) != nil {
		return nil
	}
	if !slices.Equal(namesOf(cert), a.names) || len(cert.URIs) != 1 || cert.URIs[0].String() != coordinatorURI(a.community).String() {
		return nil
	}
	return &tls.Certificate{Certificate: [][]byte{cert.Raw, a.cert.Raw}, PrivateKey: key, Leaf: cert}
}

func (a *Authority) issueServer() (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("authority: making the server's key: %w", err)
	}
	template := a.template("Allmende coordinator of "+string(a.community), a.now().Add(-backdate), backdate+serverLife)
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	template.URIs = append(template.URIs, coordinatorURI(a.community))
	for _, name := range a.names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	cert, err := a.sign(template, key.Public())
	if err != nil {
		return nil, err
	}
	if err := writeKey(filepath.Join(a.dir, serverKeyFile), key); err != nil {
		return nil, err
	}
	if err := writeCert(filepath.Join(a.dir, serverCertFile), cert.Raw); err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{cert.Raw, a.cert.Raw}, PrivateKey: key, Leaf: cert}, nil
}

// template is what all certificates have in common: they sign, and are no authority.
func (a *Authority) template(name string, from time.Time, life time.Duration) *x509.Certificate {
	end := from.Add(life)
	if end.After(a.cert.NotAfter) {
		end = a.cert.NotAfter
	}
	return &x509.Certificate{
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             from,
		NotAfter:              end,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
	}
}

func (a *Authority) sign(template *x509.Certificate, pub crypto.PublicKey) (*x509.Certificate, error) {
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, pub, a.key)
	if err != nil {
		return nil, fmt.Errorf("authority: signing: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("authority: reading what was signed: %w", err)
	}
	return cert, nil
}

// serverNames adds loopback to the configured names, in one order.
func serverNames(names []string) []string {
	all := []string{"localhost", "127.0.0.1", "::1"}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			name = ip.String()
		}
		all = append(all, strings.ToLower(name))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func namesOf(cert *x509.Certificate) []string {
	all := slices.Clone(cert.DNSNames)
	for _, ip := range cert.IPAddresses {
		all = append(all, ip.String())
	}
	slices.Sort(all)
	return all
}

func newSerial() (*big.Int, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("authority: making a serial number: %w", err)
	}
	return serial.Add(serial, big.NewInt(1)), nil
}

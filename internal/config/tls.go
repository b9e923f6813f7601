// SPDX-License-Identifier: AGPL-3.0-or-later

package config

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/allmende-energy/allmende/internal/settings"
)

// TLS is how a listener is encrypted: by a certificate in files, by one from an
// ACME authority, or not at all.
type TLS struct {
	Cert string
	Key  string
	ACME bool
}

// On says whether the listener is encrypted.
func (t TLS) On() bool { return t.Cert != "" || t.ACME }

// ACME is where certificates come from, unless from files.
type ACME struct {
	Domains   []string
	Email     string
	Directory string
	Terms     bool
	CAFile    string
	HTTPPort  int
	TLSPort   int
	Storage   string
}

// LetsEncrypt is the authority that is asked unless another is named.
const LetsEncrypt = "https://acme-v02.api.letsencrypt.org/directory"

// tlsKeys are the same for each listener that people or programs use; name is
// its group.
func tlsKeys(s *Serve, name string, l *Listener) []settings.Key {
	return []settings.Key{
		{
			Name: name + ".tls.cert", Value: settings.Path(&l.TLS.Cert, s.Dir), Example: "/etc/ssl/sun.example.org/fullchain.pem",
			Help: "A file with the certificate and its chain, in PEM. When it or its key changes, the new one is taken within fifteen seconds, or at once on SIGHUP, and no connection ends; a bad new one leaves the old one in use and is shown as a problem.",
		},
		{
			Name: name + ".tls.key", Value: settings.Path(&l.TLS.Key, s.Dir), Example: "/etc/ssl/sun.example.org/privkey.pem",
			Help: "The file with the certificate's key, in PEM. It must not be readable by everybody on this computer.",
		},
		{
			Name: name + ".tls.acme", Value: settings.Switch(&l.TLS.ACME), Default: "false",
			Help: "Use the certificate that is obtained as acme says, instead of one in files.",
		},
		{
			Name: name + ".proxies", Value: settings.ListOf(&l.proxies, "list of addresses or networks", checkNetwork).Then(func() error { return l.parseProxies() }), Example: "192.168.1.5, 10.0.0.0/24",
			Help: "The addresses of the web servers that stand in front of this listener and encrypt for it. Only they may speak to it then, and what they say of the caller (X-Forwarded-For, X-Forwarded-Proto) is believed; nobody else's word is. A web server on this computer is 127.0.0.1.",
		},
	}
}

func checkNetwork(s string) error {
	_, err := parseNetwork(s)
	return err
}

func parseNetwork(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, fmt.Errorf("%.60q is no address and no network: write it as 192.168.1.5 or 10.0.0.0/24", s)
	}
	return p.Masked(), nil
}

func (l *Listener) parseProxies() error {
	l.Proxies = nil
	for _, s := range l.proxies {
		p, err := parseNetwork(s)
		if err != nil {
			return err
		}
		l.Proxies = append(l.Proxies, p)
	}
	return nil
}

// checkTLS says what is wrong with a listener's encryption; name is its group.
func (s *Serve) checkTLS(name string, l *Listener, report settings.Report) {
	switch {
	case l.TLS.Cert != "" && l.TLS.ACME:
		report(name+".tls.acme", "a certificate in files and one from an authority: choose one, and leave the other out")
	case l.TLS.Cert != "" && l.TLS.Key == "":
		report(name+".tls.key", "missing: a certificate is of no use without its key")
	case l.TLS.Cert == "" && l.TLS.Key != "":
		report(name+".tls.cert", "missing: the key is there, the certificate is not")
	case l.TLS.ACME && len(s.ACME.Domains) == 0:
		report("acme.domains", "missing: write the names for which the certificate is wanted, such as sun.example.org")
	case l.TLS.ACME && !s.ACME.Terms:
		report("acme.terms_agreed", "the authority gives certificates to those alone who agree to its terms: read them, and write true (%s)", s.ACME.Directory)
	case l.TLS.On() || len(l.Proxies) > 0 || l.Listen == "" || here(l.Listen):
	default:
		report(name+".listen", "%s can be reached from other computers, and passwords would travel unencrypted: name a certificate (%s.tls.cert and %s.tls.key, or %s.tls.acme: true); or, where a web server in front of it encrypts, name that one's address under %s.proxies; or listen on 127.0.0.1", l.Listen, name, name, name, name)
	}
}

// here says whether an address is reached from this computer alone.
func here(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func acmePart(s *Serve) settings.Part {
	a := &s.ACME
	return settings.Part{
		Title: "Certificates from an authority",
		Intro: "A certificate that this computer gets and renews by itself, from Let's Encrypt or another authority that speaks ACME. Listeners use it that say tls.acme: true. Account, keys and certificates are kept in the folder acme of the data folder.",
		Keys: []settings.Key{
			{
				Name: "acme.domains", Value: settings.HostNames(&a.Domains), Example: "sun.example.org",
				Help: "The names for which the certificate is good. They must lead to this computer, as the authority comes to see.",
			},
			{
				Name: "acme.email", Value: settings.Text(&a.Email), Example: "board@example.org",
				Help: "Where the authority writes to when something is wrong with a certificate. It may be left out.",
			},
			{
				Name: "acme.directory", Value: settings.URL(&a.Directory, "https"), Default: LetsEncrypt, Example: "https://ca.example.org/acme/acme/directory",
				Help: "The address of the authority. To try things out, Let's Encrypt has https://acme-staging-v02.api.letsencrypt.org/directory, whose certificates no browser believes but which has no strict limits.",
			},
			{
				Name: "acme.terms_agreed", Value: settings.Switch(&a.Terms), Default: "false", Example: "true",
				Help: "Whether you agree to the authority's terms of service. Without agreement it gives no certificate.",
			},
			{
				Name: "acme.ca_file", Value: settings.Path(&a.CAFile, s.Dir), Example: "our-ca.pem",
				Help: "The certificate, in PEM, by which an authority of your own is known. Without it the authority must be one that this computer trusts anyway.",
			},
			{
				Name: "acme.http_port", Value: settings.Number(&a.HTTPPort, 0, 65535), Default: "80", Example: "8081",
				Help: "The port of this computer where port 80 of the domains arrives. The authority asks there whether the domain is yours. Another number is right where a router forwards port 80 to it; 0 leaves this way out.",
			},
			{
				Name: "acme.tls_port", Value: settings.Number(&a.TLSPort, 0, 65535), Default: "443", Example: "8443",
				Help: "The port of this computer where port 443 of the domains arrives. The authority may ask there instead of at port 80; 0 leaves this way out.",
			},
		},
		Check: func(report settings.Report) {
			if (s.HTTP.TLS.ACME || s.GRPC.TLS.ACME) && a.HTTPPort == 0 && a.TLSPort == 0 {
				report("acme.http_port", "neither port 80 nor port 443 leads here, so that the authority cannot see that a domain is yours: give acme.http_port or acme.tls_port")
			}
		},
	}
}

// SPDX-License-Identifier: AGPL-3.0-or-later

package config

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/internal/strictyaml"
)

// ServeFile is the name of the coordinator's configuration in its folder.
const ServeFile = "allmende.yaml"

// Serve is how a coordinator runs: allmende.yaml with its defaults filled in.
// Paths are absolute or relative to the working directory, as the folder is.
type Serve struct {
	Community string // register
	Charter   string // rules
	Database  string // inbox, ledger and state
	Authority string // folder of the built-in certificate authority
	LedgerKey string // file of the key that signs checkpoints

	HTTP     Listener // page, REST, server-sent events
	GRPC     Listener // integrators
	Gateways Listener // gateways, mutual TLS
	// GatewayAddress is what gateways dial; it goes into enrolment tokens.
	// Empty: the address that the listener is bound to.
	GatewayAddress string

	Tick        energy.Span // world time between two passes of the live loop
	StaleAfter  energy.Span // a live reading this old is no longer the present
	SetpointTTL energy.Span // how long a battery follows a command that is not renewed

	Series Series // what was measured over time
}

// Listener is an address to listen on and the names it is reached by, besides
// loopback and the address itself.
type Listener struct {
	Listen string
	Names  []string
	Key    string // where to change it: file and field
}

// The fields of allmende.yaml.
type (
	serveFile struct {
		Community string       `yaml:"community"`
		Charter   string       `yaml:"charter"`
		Data      string       `yaml:"data"`
		Authority string       `yaml:"authority"`
		LedgerKey string       `yaml:"ledger_key"`
		HTTP      listenFile   `yaml:"http"`
		GRPC      portFile     `yaml:"grpc"`
		Gateways  gatewaysFile `yaml:"gateways"`
		Live      liveFile     `yaml:"live"`
		Series    seriesFile   `yaml:"series"`
	}
	listenFile struct {
		Listen address  `yaml:"listen"`
		Names  []string `yaml:"names"`
	}
	portFile struct {
		Listen address `yaml:"listen"`
	}
	gatewaysFile struct {
		Listen  address  `yaml:"listen"`
		Names   []string `yaml:"names"`
		Address address  `yaml:"address"`
	}
	liveFile struct {
		Tick        energy.Span `yaml:"tick"`
		StaleAfter  energy.Span `yaml:"stale_after"`
		SetpointTTL energy.Span `yaml:"setpoint_ttl"`
	}
)

// Listeners and times where allmende.yaml says nothing.
const (
	DefaultHTTP     = "127.0.0.1:8080"
	DefaultGRPC     = "127.0.0.1:9090"
	DefaultGateways = "127.0.0.1:9443"

	defaultTick        = energy.Second
	defaultStaleAfter  = 15 * energy.Second
	defaultSetpointTTL = 30 * energy.Second
)

// LoadServe reads dir/allmende.yaml.
func LoadServe(dir string) (Serve, error) {
	path := filepath.Join(dir, ServeFile)
	src, err := readFile(path, strictyaml.Options{})
	if err != nil {
		return Serve{}, err
	}
	return DecodeServe(path, src)
}

// DecodeServe reads a configuration; relative paths in it start at the file's
// folder. The error is a [Problems] that holds everything that is wrong.
func DecodeServe(file string, src []byte) (Serve, error) {
	f := defaultServe()
	doc := strictyaml.Read(file, src, &f, strictyaml.Options{Start: inEmptyFile})
	f.check(doc.Problemf)
	if err := doc.Err(); err != nil {
		return Serve{}, err
	}
	return f.serve(file), nil
}

// DefaultServe is the configuration of a folder whose allmende.yaml says nothing.
func DefaultServe(dir string) Serve {
	f := defaultServe()
	return f.serve(filepath.Join(dir, ServeFile))
}

func defaultServe() serveFile {
	return serveFile{
		Community: "community.yaml", Charter: "charter.yaml", Data: "data", Authority: "authority", LedgerKey: "ledger.key",
		HTTP: listenFile{Listen: DefaultHTTP}, GRPC: portFile{Listen: DefaultGRPC},
		Gateways: gatewaysFile{Listen: DefaultGateways},
		Live:     liveFile{defaultTick, defaultStaleAfter, defaultSetpointTTL},
		Series:   defaultSeries(),
	}
}

func (f *serveFile) serve(file string) Serve {
	dir := filepath.Dir(file)
	in := func(path string) string {
		if filepath.IsAbs(path) {
			return path
		}
		return filepath.Join(dir, path)
	}
	return Serve{
		Community: in(f.Community), Charter: in(f.Charter), Authority: in(f.Authority), LedgerKey: in(f.LedgerKey),
		Database:       filepath.Join(in(f.Data), "ledger.db"),
		HTTP:           Listener{string(f.HTTP.Listen), f.HTTP.Names, file + ", http.listen"},
		GRPC:           Listener{string(f.GRPC.Listen), nil, file + ", grpc.listen"},
		Gateways:       Listener{string(f.Gateways.Listen), f.Gateways.Names, file + ", gateways.listen"},
		GatewayAddress: string(f.Gateways.Address),
		Tick:           f.Live.Tick,
		StaleAfter:     f.Live.StaleAfter,
		SetpointTTL:    f.Live.SetpointTTL,
		Series:         f.Series.series(filepath.Join(in(f.Data), "series.db"), in),
	}
}

// check hands what is wrong to addf.
func (f *serveFile) check(addf func(field, format string, args ...any)) {
	for field, path := range map[string]string{
		"community": f.Community, "charter": f.Charter, "data": f.Data, "authority": f.Authority, "ledger_key": f.LedgerKey,
	} {
		if path == "" || strings.ContainsRune(path, 0) {
			addf(field, "no path: write one relative to this file, or leave the line out for the default")
		}
	}
	names := func(field string, names []string) {
		for i, name := range names {
			if !hostName(name) {
				addf(fmt.Sprintf("%s.names[%d]", field, i), "%.80q is no host name and no IP address: write it without port and path, such as sun.example.org", name)
			}
		}
	}
	names("http", f.HTTP.Names)
	names("gateways", f.Gateways.Names)
	for i, a := range []portFile{{f.HTTP.Listen}, f.GRPC} {
		for j, b := range []portFile{f.GRPC, {f.Gateways.Listen}} {
			if i <= j && a.Listen == b.Listen && !strings.HasSuffix(string(a.Listen), ":0") {
				addf([]string{"grpc.listen", "gateways.listen"}[j], "%s is taken by another listener of this file: give each a port of its own", a.Listen)
			}
		}
	}
	if f.Gateways.Address == "" && anywhere(string(f.Gateways.Listen)) {
		addf("gateways.address", "missing: the listener takes gateways on every network of this computer, so write the host and port that they dial, such as 192.168.1.10:9443")
	}
	f.Live.check(addf)
	f.Series.check(addf)
}

// check keeps the times in an order in which they make sense: readings are
// renewed before they are stale, setpoints before they expire.
func (f *liveFile) check(addf func(field, format string, args ...any)) {
	tick := f.Tick
	if tick < 100*energy.Millisecond || tick > 15*energy.Minute {
		addf("live.tick", "%s: the live loop passes every 100ms to 15m, 1s is usual", tick)
		return
	}
	if s := f.StaleAfter; s < 2*tick || s > energy.Hour {
		addf("live.stale_after", "%s: write at least two ticks (%s) and at most 1h", s, 2*tick)
	}
	if s := f.SetpointTTL; s < 2*tick || s > energy.Hour {
		addf("live.setpoint_ttl", "%s: write at least two ticks (%s) and at most 1h, so that a battery neither drops a command between two ticks nor follows an old one for long", s, 2*tick)
	}
}

// anywhere says whether an address listens on every network.
func anywhere(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "" || ip != nil && ip.IsUnspecified()
}

// hostName says whether s is a DNS name or an IP address.
func hostName(s string) bool {
	if net.ParseIP(s) != nil {
		return true
	}
	const most = 253
	if s == "" || len(s) > most {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-") {
			return false
		}
		for _, c := range label {
			if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' {
				return false
			}
		}
	}
	return true
}

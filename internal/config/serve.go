// SPDX-License-Identifier: AGPL-3.0-or-later

package config

import (
	"net/netip"
	"os"
	"path/filepath"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/internal/logs"
	"github.com/allmende-energy/allmende/internal/settings"
	"github.com/allmende-energy/allmende/internal/strictyaml"
	"github.com/allmende-energy/allmende/internal/telemetry"
	"github.com/allmende-energy/allmende/internal/tracing"
)

// ServeFile is the name of the coordinator's configuration in its folder.
const ServeFile = "allmende.yaml"

// Serve is how a coordinator runs: what allmende.yaml, environment and flags
// say, over the defaults. Paths are absolute or relative to the working
// directory, as the folder is.
type Serve struct {
	Dir       string // the community's folder
	Community string // register
	Charter   string // rules
	Data      string // folder of everything that changes
	// Database is where inbox, ledger and state are, as package store takes it: a
	// file's path or a server's URL. It shows itself without a password.
	Database  settings.Secret
	Server    Database // what was said about it
	Authority string   // folder of the built-in certificate authority
	LedgerKey string   // file of the key that signs checkpoints

	HTTP     Listener // page, REST, server-sent events
	Redirect string   // plain HTTP that leads callers to HTTP's TLS; empty: none
	GRPC     Listener // integrators
	Gateways Listener // gateways, mutual TLS
	// GatewayAddress is what gateways dial; it goes into enrolment tokens.
	// Empty: the address that the listener is bound to.
	GatewayAddress string
	Certificates   Certificates // of gateways

	Tick        energy.Span // world time between two passes of the live loop
	StaleAfter  energy.Span // a live reading this old is no longer the present
	SetpointTTL energy.Span // how long a battery follows a command that is not renewed

	ACME    ACME
	People  People
	Series  Series // what was measured over time
	Log     logs.Config
	Metrics telemetry.Config
	Traces  tracing.Config
}

// Listener is an address to listen on, the names it is reached by, besides
// loopback and the address itself, and how it is protected.
type Listener struct {
	Listen  string
	Names   []string
	TLS     TLS
	Proxies []netip.Prefix // they encrypt for it, and alone may speak to it
	Key     string         // where to change it: file and field, variable or flag

	proxies []string
}

// Listeners where nobody says anything.
const (
	DefaultHTTP     = "127.0.0.1:8080"
	DefaultGRPC     = "127.0.0.1:9090"
	DefaultGateways = "127.0.0.1:9443"
)

// Flag is a setting on the command line.
type Flag = settings.Flag

// Settings declares every setting of a coordinator, in the order of the
// documentation, and where in s each goes. Relative paths start at s.Dir.
//
// To add some: put their fields into a struct of your own in [Serve], declare
// them as a [settings.Part] in a file of your own, and list it here. Reading
// from all layers, `allmende config`, the file that init writes and
// docs/configuration.md (`go test ./docs -update`) follow by themselves.
func Settings(s *Serve) settings.Set {
	return settings.Set{
		File: ServeFile, Prefix: "ALLMENDE_", Start: inEmptyFile,
		Others: []string{
			"ALLMENDE_GW_*",                                     // gateway.yaml
			"ALLMENDE_URL", "ALLMENDE_SERVER", "ALLMENDE_TOKEN", // whom commands speak to
			"ALLMENDE_TEST_*",
		},
		Parts: []settings.Part{
			folderPart(s),
			databasePart(s),
			webPart(s),
			peoplePart(s),
			grpcPart(s),
			acmePart(s),
			gatewaysPart(s),
			livePart(s),
			seriesPart(s),
			logPart(s),
			metricsPart(s),
			tracesPart(s),
		},
	}
}

// LoadServe reads dir/allmende.yaml, the environment and flags.
func LoadServe(dir string, flags ...Flag) (Serve, error) {
	s, _, err := Load(dir, os.Environ(), flags...)
	return s, err
}

// Load is [LoadServe] under an environment, and tells where each value is from.
func Load(dir string, environ []string, flags ...Flag) (Serve, *settings.Loaded, error) {
	path := filepath.Join(dir, ServeFile)
	src, err := readFile(path, strictyaml.Options{})
	if err != nil {
		return Serve{}, nil, err
	}
	return decode(settings.Sources{File: path, Content: src, Environ: environ, Flags: flags})
}

// DecodeServe reads a configuration from a file's content alone; relative paths
// in it start at the file's folder. The error is a [Problems] that holds
// everything that is wrong.
func DecodeServe(file string, src []byte) (Serve, error) {
	s, _, err := decode(settings.Sources{File: file, Content: src})
	return s, err
}

// Defaults is the configuration of a folder whose allmende.yaml says nothing.
func Defaults(dir string) (Serve, *settings.Loaded, error) {
	return decode(settings.Sources{File: filepath.Join(dir, ServeFile)})
}

func decode(src settings.Sources) (Serve, *settings.Loaded, error) {
	s := Serve{Dir: filepath.Dir(src.File)}
	loaded, err := Settings(&s).Load(src)
	if err != nil {
		return Serve{}, nil, err
	}
	s.ACME.Storage = filepath.Join(s.Data, "acme")
	s.Database, s.Series.File = s.Server.in(s.Data), filepath.Join(s.Data, "series.db")
	s.HTTP.Key, s.GRPC.Key, s.Gateways.Key = loaded.Place("http.listen"), loaded.Place("grpc.listen"), loaded.Place("gateways.listen")
	return s, loaded, nil
}

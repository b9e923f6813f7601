// SPDX-License-Identifier: AGPL-3.0-or-later

// Package archtest holds the house rules as data and checks them: which package
// may import which, that the core stays pure, that there is no init function,
// and that each file names its licence.
//
// The same matrix stands in docs/ARCHITECTURE.md. A test compares the two;
// `go test ./internal/archtest -update` writes the document from the data.
package archtest

import (
	"fmt"
	"slices"
	"strings"
)

// Module is the path that all our packages begin with.
const Module = "github.com/allmende-energy/allmende"

// Rule says what the packages at Path may import. The rule with the longest
// matching path holds; "x/..." matches x and everything below it.
type Rule struct {
	Path  string
	Pure  bool     // part of the core: see Pure* below
	Ours  []string // our own packages, patterns as in Path
	Third []string // packages of others, patterns as in Path
}

// Matrix is the import matrix, from the ground up. Whatever is not listed may
// not be imported, so that a new dependency between rooms, or on somebody
// else's module, is a decision that a reader of the change can see.
func Matrix() []Rule { //nolint:funlen // it is a table
	core := []string{"energy", "commons/...", "meters", "scheduler/..."}
	rpc := []string{"google.golang.org/grpc/..."}
	with := func(base []string, more ...string) []string { return append(slices.Clone(base), more...) }
	return []Rule{
		{Path: "energy", Pure: true},
		{Path: "commons/roll", Pure: true, Ours: []string{"energy"}},
		{Path: "commons/canon", Pure: true},
		{Path: "commons/charter", Pure: true, Ours: []string{"energy", "commons/canon", "commons/roll"}},
		{
			Path: "commons/ledger", Pure: true,
			Ours:  []string{"energy", "commons/canon", "commons/charter", "commons/roll"},
			Third: []string{"golang.org/x/mod/sumdb/note", "golang.org/x/mod/sumdb/tlog"},
		},
		{Path: "commons/statement", Pure: true, Ours: []string{"energy", "commons/charter", "commons/ledger", "commons/roll"}},
		{Path: "meters", Pure: true, Ours: []string{"energy", "commons/roll"}},
		{Path: "scheduler/allocation", Pure: true, Ours: []string{"energy", "commons/charter", "commons/roll", "scheduler/allocation/kernel"}},
		{Path: "scheduler/allocation/kernel", Pure: true},
		{Path: "scheduler/...", Pure: true, Ours: core},

		{Path: "meters/citylearn", Ours: []string{"energy"}},
		{Path: "meters/series", Pure: true, Ours: []string{"energy"}},
		{Path: "meters/series/seriestest", Ours: []string{"energy", "meters/series"}},
		{Path: "meters/series/embedded", Ours: []string{"energy", "meters/series", "meters/series/embedded/block"}, Third: []string{"modernc.org/sqlite/..."}},
		{Path: "meters/series/influx", Ours: []string{"energy", "meters/series"}, Third: []string{"github.com/influxdata/influxdb-client-go/v2/..."}},
		{Path: "meters/series/embedded/block", Ours: []string{"energy", "meters/series"}},
		{Path: "internal/strictyaml", Third: []string{"go.yaml.in/yaml/v3"}},
		{Path: "charters", Ours: []string{"energy", "commons/charter", "commons/roll", "charters/expr", "internal/strictyaml"}},
		{Path: "charters/esbeta"},
		{Path: "charters/expr", Ours: []string{"energy", "commons/charter", "commons/ledger", "commons/roll", "internal/strictyaml"}, Third: []string{"cel.dev/cel-go/..."}},
		{Path: "internal/worldtime", Ours: []string{"energy"}},
		{Path: "internal/settings", Ours: []string{"energy", "internal/strictyaml"}, Third: []string{"github.com/knadh/koanf/..."}},
		{Path: "internal/config", Ours: []string{"energy", "commons/roll", "internal/settings", "internal/strictyaml", "internal/logs", "internal/telemetry", "internal/tracing"}},
		{Path: "internal/certs", Third: []string{"github.com/caddyserver/certmagic", "go.uber.org/zap/..."}},
		{Path: "internal/telemetry", Ours: []string{"internal/settings"}, Third: []string{"github.com/prometheus/client_golang/..."}},
		{Path: "internal/tracing", Ours: []string{"internal/settings"}, Third: []string{"go.opentelemetry.io/otel/..."}},
		{Path: "internal/sdnotify", Third: []string{"golang.org/x/sys/unix"}},
		{Path: "internal/logs", Ours: []string{"internal/settings"}},
		{Path: "internal/acmetest", Ours: []string{"internal/freeport"}}, // for tests only
		{Path: "internal/adminsocket"},
		{Path: "internal/doctor", Third: []string{"golang.org/x/sys/unix"}},
		{Path: "internal/archtest"},
		{Path: "internal/freeport"},                                        // for tests only
		{Path: "internal/influxtest", Ours: []string{"internal/freeport"}}, // for tests only
		{Path: "internal/endtoend", Third: rpc},                            // tests only
		{Path: "internal/pgtest", Ours: []string{"internal/freeport"}},     // for tests only
		{Path: "docs"},   // tests only
		{Path: "deploy"}, // tests only
		{Path: "tools/inventory"},

		{Path: "gateway/modbus", Third: []string{"github.com/simonvetter/modbus", "golang.org/x/sys/unix"}},
		{Path: "gateway/proxy"},
		{Path: "gateway/device", Ours: []string{"energy", "commons/roll", "meters"}},
		{Path: "gateway/profile", Ours: []string{"energy", "commons/roll", "meters", "internal/strictyaml", "gateway/device", "gateway/plan", "gateway/sunspec"}},
		{Path: "gateway/sunspec", Ours: []string{"energy", "commons/roll", "meters", "gateway/device"}},
		{
			Path: "gateway/sim",
			Ours: []string{"energy", "commons/roll", "meters/citylearn", "internal/strictyaml", "internal/worldtime", "gateway/device", "gateway/dump", "gateway/profile", "gateway/sim/wire", "gateway/sun", "gateway/sunspec"},
		},
		{Path: "gateway/sim/wire", Ours: []string{"energy", "internal/strictyaml"}, Third: []string{"golang.org/x/sys/unix"}},
		{Path: "gateway/dump"},
		{Path: "gateway/plan", Pure: true},
		{Path: "gateway/commission", Ours: []string{"energy", "commons/canon", "commons/roll", "meters", "gateway/device"}},
		{
			Path:  "gateway/commission/paper",
			Ours:  []string{"gateway/commission"},
			Third: []string{"codeberg.org/go-pdf/fpdf", "golang.org/x/image/font/gofont/..."},
		},
		{Path: "gateway/scan", Ours: []string{"commons/roll", "gateway/device", "gateway/modbus"}},
		{Path: "gateway/spool", Ours: []string{"energy", "commons/roll", "meters"}},
		{Path: "gateway/guard", Ours: []string{"energy", "commons/roll", "gateway/device"}},
		{Path: "gateway/sun", Ours: []string{"energy"}},
		{
			Path:  "gateway/uplink",
			Ours:  []string{"energy", "commons/roll", "meters", "gateway/device", "gateway/guard", "proto/..."},
			Third: with(rpc, "google.golang.org/protobuf/proto"),
		},
		{
			Path:  "gateway/uplink/uplinktest",
			Ours:  []string{"energy", "commons/roll", "meters", "proto/..."},
			Third: rpc,
		},
		{Path: "gateway/doctor", Ours: []string{"gateway", "gateway/spool", "gateway/uplink", "internal/doctor"}},
		{
			Path:  "gateway",
			Ours:  []string{"energy", "commons/roll", "meters", "internal/logs", "internal/settings", "internal/strictyaml", "internal/telemetry", "internal/worldtime", "gateway/..."},
			Third: []string{"golang.org/x/sys/unix"},
		},

		{
			Path:  "coordinator/store",
			Ours:  []string{"energy", "commons/...", "meters"},
			Third: []string{"modernc.org/sqlite/...", "github.com/jackc/pgx/v5/...", "github.com/pressly/goose/v3/...", "golang.org/x/mod/sumdb/note", "golang.org/x/mod/sumdb/tlog"},
		},
		{
			Path: "coordinator/doctor",
			Ours: []string{
				"commons/ledger", "scheduler/settlement", "internal/adminsocket", "internal/config", "internal/doctor",
				"coordinator", "coordinator/backup", "coordinator/store",
			},
			Third: []string{"golang.org/x/mod/sumdb/note", "golang.org/x/mod/sumdb/tlog"},
		},
		{
			Path:  "coordinator/backup",
			Ours:  []string{"commons/ledger", "scheduler/settlement", "internal/config", "internal/settings", "coordinator/store"},
			Third: []string{"filippo.io/age/...", "golang.org/x/mod/sumdb/note"},
		},
		{Path: "coordinator/authority", Ours: []string{"commons/roll"}},
		{
			Path:  "coordinator/access",
			Ours:  []string{"commons/roll", "internal/strictyaml"},
			Third: with(rpc, "google.golang.org/protobuf/..."),
		},
		{
			Path:  "coordinator/people",
			Ours:  []string{"commons/roll", "coordinator/access", "coordinator/store", "proto/..."},
			Third: with(rpc, "github.com/alexedwards/scs/v2", "github.com/go-webauthn/webauthn/...", "golang.org/x/crypto/argon2", "golang.org/x/text/unicode/norm"),
		},
		{
			Path:  "coordinator/sheet",
			Third: []string{"github.com/xuri/excelize/v2"},
		},
		{Path: "coordinator/roster", Ours: []string{"energy", "commons/roll", "coordinator/sheet"}},
		{Path: "coordinator/trial", Ours: []string{"energy", "commons/...", "scheduler/...", "charters", "charters/expr", "coordinator/store"}},
		{
			Path:  "coordinator/api",
			Ours:  with(core, "meters/series", "coordinator/access", "coordinator/roster", "coordinator/sheet", "coordinator/trial", "proto/..."),
			Third: with(rpc, "google.golang.org/protobuf/...", "github.com/grpc-ecosystem/grpc-gateway/v2/runtime"),
		},
		{
			Path:  "coordinator",
			Ours:  with(core, "meters/series/...", "charters", "charters/expr", "internal/adminsocket", "internal/certs", "internal/config", "internal/telemetry", "internal/tracing", "internal/worldtime", "proto/...", "coordinator/..."),
			Third: with(rpc, "golang.org/x/mod/sumdb/note"),
		},

		{Path: "dashboards"},
		{Path: "dashboards/grafana"}, // tests only
		{
			Path:  "proto/...",
			Third: with(rpc, "google.golang.org/protobuf/...", "github.com/grpc-ecosystem/grpc-gateway/v2/...", "google.golang.org/genproto/googleapis/api/annotations"),
		},
		{
			Path: "cmd/allmende",
			Ours: []string{"..."},
			Third: with(rpc, "github.com/alecthomas/kong", "golang.org/x/mod/sumdb/note", "golang.org/x/term",
				"google.golang.org/genproto/googleapis/api/annotations", "google.golang.org/protobuf/..."),
		},
	}
}

// TestLibraries may be imported by tests everywhere, and by nothing else.
func TestLibraries() []string {
	return []string{
		"github.com/cockroachdb/datadriven",
		"go.opentelemetry.io/proto/otlp/collector/trace/v1",
		"google.golang.org/protobuf/proto",
		"go.uber.org/goleak",
		"golang.org/x/crypto/ssh", // keys, to encrypt backups for
		"pgregory.net/rapid",
	}
}

// PureStandard is the part of the standard library that the core may import:
// no clock, files, network, randomness or logs. Package time is there for its
// types; PureBannedCalls names what may not be called.
func PureStandard() []string {
	return []string{
		"bytes", "cmp", "container/heap", "context", "crypto/ed25519", "crypto/hmac", "crypto/sha256",
		"encoding", "encoding/base64", "encoding/binary", "encoding/hex", "encoding/json",
		"errors", "fmt", "hash", "io", "iter", "maps", "math", "math/big", "math/bits", "reflect",
		"slices", "sort", "strconv", "strings", "time", "unicode", "unicode/utf16", "unicode/utf8",
	}
}

// PureBannedCalls are the names of allowed packages that the core may not use,
// because they read a clock, wait, read files, print, or make fractions.
func PureBannedCalls() map[string][]string {
	return map[string][]string{
		"time": {
			"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick", "Timer", "Ticker",
			"Local", "LoadLocation",
		},
		"fmt":     {"Print", "Printf", "Println", "Scan", "Scanf", "Scanln"},
		"strconv": {"ParseFloat", "FormatFloat", "AppendFloat", "ParseComplex", "FormatComplex"},
		"big":     {"Float", "NewFloat", "ParseFloat"},
	}
}

// Find returns the rule that holds for one of our packages, by its path below
// the module.
func Find(rules []Rule, pkg string) (Rule, bool) {
	best, found := Rule{}, false
	for _, r := range rules {
		if match(r.Path, pkg) && (!found || len(r.Path) > len(best.Path)) {
			best, found = r, true
		}
	}
	return best, found
}

// Violation says why a package under rule r may not import path, or is empty.
func (r Rule) Violation(path string) string {
	own, isOurs := strings.CutPrefix(path, Module+"/")
	switch {
	case isOurs:
		if !matchAny(r.Ours, own) {
			return fmt.Sprintf("%s may not import our %s", r.Path, own)
		}
	case isThird(path):
		if !matchAny(r.Third, path) {
			return fmt.Sprintf("%s may not import %s", r.Path, path)
		}
	case r.Pure && !slices.Contains(PureStandard(), path):
		return fmt.Sprintf("%s is core and may not import %s", r.Path, path)
	}
	return ""
}

// Table is the matrix as a Markdown table.
func Table(rules []Rule) string {
	var b strings.Builder
	b.WriteString("| package | core | may import of ours | and of others |\n| --- | --- | --- | --- |\n")
	for _, r := range rules {
		core := ""
		if r.Pure {
			core = "yes"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", code(r.Path), core, code(r.Ours...), code(r.Third...))
	}
	return b.String()
}

func code(paths ...string) string {
	if len(paths) == 0 {
		return "nothing"
	}
	return "`" + strings.Join(paths, "` `") + "`"
}

// isThird tells somebody else's package from the standard library, whose paths
// have no dot in their first element.
func isThird(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return strings.Contains(first, ".")
}

func matchAny(patterns []string, path string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return match(p, path) })
}

// match compares a path with a pattern: exact, "x/..." for x and all below, "..." for everything.
func match(pattern, path string) bool {
	if pattern == "..." {
		return true
	}
	stem, below := strings.CutSuffix(pattern, "/...")
	return path == stem || below && strings.HasPrefix(path, stem+"/")
}

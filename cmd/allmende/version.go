// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/allmende-energy/allmende/internal/telemetry"
)

// What the linker writes (tools/version.sh ldflags), because Go's own stamp is
// absent where the build cannot read the repository. Nothing else sets them.
var (
	stampVersion  string
	stampRevision string
	stampModified string
	stampEpoch    string // of the commit, in seconds since 1970
)

// buildInfo is what the binary knows of its own making: enough to build the
// same bytes again, and to ask whether a known weakness is in it.
type buildInfo struct {
	Version    string   `json:"version"`
	Revision   string   `json:"revision"`
	Committed  string   `json:"committed,omitempty"` // when, RFC 3339
	Modified   bool     `json:"modified"`            // built from a tree with uncommitted changes
	Go         string   `json:"go"`
	OS         string   `json:"os"`
	Arch       string   `json:"arch"`               // with the processor's level: arm/7
	Tags       []string `json:"tags"`               // build tags
	CGO        bool     `json:"cgo"`                // false: needs no library of the system
	Trimmed    bool     `json:"trimmed"`            // no path of the building machine is in it
	Modules    int      `json:"modules"`            // of others that are compiled in
	ModulesSum string   `json:"modules_sha256"`     // over their names, versions and sums
	Checksums  []module `json:"checksums,omitzero"` // the modules themselves, with --modules
}

type module struct {
	Path    string `json:"path"`
	Version string `json:"version"`
	Sum     string `json:"sum"`
}

func buildInformation() buildInfo {
	b := buildInfo{
		Version: "development", Revision: "unknown", Go: runtime.Version(),
		OS: runtime.GOOS, Arch: runtime.GOARCH, Tags: []string{},
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		b.read(info)
	}
	if stampVersion != "" {
		b.Version, b.Revision, b.Modified = stampVersion, stampRevision, stampModified == "true"
		if s, err := strconv.ParseInt(stampEpoch, 10, 64); err == nil && s > 0 {
			b.Committed = time.Unix(s, 0).UTC().Format(time.RFC3339)
		}
	}
	return b
}

// read takes what Go itself has written into the binary.
func (b *buildInfo) read(info *debug.BuildInfo) {
	if v := info.Main.Version; v != "" && v != "(devel)" {
		b.Version = v
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.time":
			b.Committed = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		case "-tags":
			b.Tags = strings.FieldsFunc(s.Value, func(r rune) bool { return r == ',' || r == ' ' })
		case "-trimpath":
			b.Trimmed = s.Value == "true"
		case "CGO_ENABLED":
			b.CGO = s.Value == "1"
		case "GOARM", "GOAMD64", "GOARM64":
			b.Arch += "/" + s.Value
		}
	}
	for _, d := range info.Deps {
		if d.Replace != nil {
			d = d.Replace
		}
		b.Checksums = append(b.Checksums, module{Path: d.Path, Version: d.Version, Sum: d.Sum})
	}
	slices.SortFunc(b.Checksums, func(x, y module) int { return strings.Compare(x.Path, y.Path) })
	h := sha256.New()
	for _, m := range b.Checksums {
		fmt.Fprintf(h, "%s %s %s\n", m.Path, m.Version, m.Sum)
	}
	b.Modules, b.ModulesSum = len(b.Checksums), hex.EncodeToString(h.Sum(nil))
}

type versionCmd struct {
	JSON    bool `help:"Print as JSON."`
	Modules bool `help:"Print also each module that is compiled in, with its checksum."`
}

// Run prints it.
func (c *versionCmd) Run(out *output) error {
	info := buildInformation()
	modules := info.Checksums
	if !c.Modules {
		info.Checksums = nil
	}
	if c.JSON {
		return out.JSON(info)
	}
	out.Printf("%s", info)
	if !c.Modules {
		return nil
	}
	table := tabwriter.NewWriter(out.Out, 0, 0, 2, ' ', 0)
	for _, m := range modules {
		fmt.Fprintf(table, "%s\t%s\t%s\n", m.Path, m.Version, m.Sum)
	}
	return table.Flush()
}

// String is what people read: the first line alone says what somebody asks for
// who reports a fault.
func (b buildInfo) String() string {
	var s strings.Builder
	fmt.Fprintf(&s, "allmende %s\n", b.Version)
	revision := b.Revision
	if b.Committed != "" {
		revision += " of " + b.Committed
	}
	if b.Modified {
		revision += ", with changes that are not committed"
	}
	how := []string{"CGO " + map[bool]string{true: "on", false: "off"}[b.CGO]}
	if b.Trimmed {
		how = append(how, "paths trimmed")
	}
	if len(b.Tags) > 0 {
		how = append(how, "tags "+strings.Join(b.Tags, " "))
	}
	for _, line := range [][2]string{
		{"revision", revision},
		{"built with", fmt.Sprintf("%s for %s/%s, %s", b.Go, b.OS, b.Arch, strings.Join(how, ", "))},
		{"modules", fmt.Sprintf("%d, sha256 %s", b.Modules, b.ModulesSum)},
	} {
		fmt.Fprintf(&s, "  %-12s%s\n", line[0], line[1])
	}
	return s.String()
}

// telemetryBuild is what the counters show of it.
func telemetryBuild() telemetry.Build {
	b := buildInformation()
	return telemetry.Build{Version: b.Version, Revision: b.Revision, Go: b.Go}
}

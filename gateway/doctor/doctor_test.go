// SPDX-License-Identifier: AGPL-3.0-or-later

package doctor_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/allmende-energy/allmende/gateway"
	gatewaydoctor "github.com/allmende-energy/allmende/gateway/doctor"
	"github.com/allmende-energy/allmende/gateway/spool"
	"github.com/allmende-energy/allmende/internal/doctor"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// says fails unless a check comes to a state with words in it.
func says(t *testing.T, dir, check string, state doctor.State, words string) {
	t.Helper()
	r := doctor.Run(t.Context(), gatewaydoctor.Checks(dir, time.Now), nil)
	for _, f := range r.Findings {
		if f.State != doctor.OK && f.Mend == "" {
			t.Errorf("%s: %q, and it is not said how to mend it", f.Check, f.Seen)
		}
	}
	if !slices.ContainsFunc(r.Findings, func(f doctor.Finding) bool {
		return f.Check == check && f.State == state && strings.Contains(f.Seen+f.Mend, words)
	}) {
		t.Errorf("%+v; expected %s: %s with %q", r.Findings, check, state, words)
	}
}

func configure(t *testing.T, content string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, gateway.ConfigFile), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// listener takes whoever comes and says nothing.
func listener(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func gone(t *testing.T) string {
	t.Helper()
	l := listener(t)
	defer l.Close()
	return l.Addr().String()
}

// TestWhatCommandsNeed: a damaged file keeps devices from being commanded, and
// the doctor says which, and what to do.
func TestWhatCommandsNeed(t *testing.T) {
	dir := configure(t, fmt.Sprintf("coordinator: %q\ndevices:\n  - {asset: a, url: \"tcp://%s\", unit: 1, limits: {rated_w: 9000, max_feed_in_w: 8000, offline_feed_in_w: 4000}}\n", gone(t), gone(t)))
	says(t, dir, "commands", doctor.OK, "no coordinator was heard of")
	says(t, dir, "commands", doctor.OK, "can be read")
	says(t, dir, "limits", doctor.OK, "1 of 1 devices have a limit of feeding in, 4000 W together")
	says(t, dir, "limits", doctor.OK, "Nobody adds this up")
	if err := os.Mkdir(filepath.Join(dir, "spool"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"epoch", "writes.json"} {
		path := filepath.Join(dir, "spool", name)
		if err := os.WriteFile(path, []byte("\x00\x00"), 0o600); err != nil {
			t.Fatal(err)
		}
		says(t, dir, "commands", doctor.Fail, "remove "+path)
	}
}

func TestAGatewaysFolder(t *testing.T) {
	device, coordinator := listener(t).Addr(), listener(t).Addr()
	dir := configure(t, fmt.Sprintf("coordinator: %q\ndevices:\n  - {asset: a, url: \"tcp://%s\", unit: 1}\n  - {asset: b, url: \"tcp://%s\", unit: 2}\n", coordinator, device, device))
	says(t, dir, "configuration", doctor.OK, "2 devices")
	says(t, dir, "devices", doctor.OK, "answers")
	says(t, dir, "coordinator", doctor.OK, "answers")
	says(t, dir, "certificate", doctor.Fail, "enrol")
	says(t, dir, "spool", doctor.OK, "first run")

	// While it runs, nobody else calls its devices.
	s, err := spool.Open(filepath.Join(dir, "spool"), spool.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	says(t, dir, "devices", doctor.OK, "the gateway runs")
	says(t, dir, "spool", doctor.OK, "of the 512 MiB")
	if err := os.WriteFile(filepath.Join(dir, "spool", "x.seg"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(dir, "spool", "x.seg"), 500<<20); err != nil {
		t.Fatal(err)
	}
	says(t, dir, "spool", doctor.Warn, "spool.max_mb")
}

func TestWhatIsWrongWithAGateway(t *testing.T) {
	says(t, configure(t, "coordinatr: x\n"), "configuration", doctor.Fail, "coordinatr")
	says(t, configure(t, "poll: 1s\n"), "configuration", doctor.Fail, "devices")
	dir := configure(t, fmt.Sprintf("coordinator: %q\ndevices:\n  - {asset: a, url: \"tcp://%s\", unit: 1}\n", gone(t), gone(t)))
	says(t, dir, "coordinator", doctor.Fail, "firewall")
	says(t, dir, "devices", doctor.Fail, "switched on")
	if err := os.MkdirAll(filepath.Join(dir, "identity"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "identity", "gateway.pem"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	says(t, dir, "permissions", doctor.Fail, "chmod 600")
	says(t, dir, "certificate", doctor.Fail, "not PEM")
}

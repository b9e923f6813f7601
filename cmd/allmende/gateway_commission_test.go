// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/allmende-energy/allmende/gateway/commission"
)

// edgeOf is a gateway's folder with the devices of a simulated site.
func edgeOf(t *testing.T, url string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	writeGateway(t, dir, "127.0.0.1:9443", url)
	return dir
}

func writeGateway(t *testing.T, dir, coordinator, url string) {
	t.Helper()
	text := "coordinator: " + coordinator + "\ndevices:\n" +
		"  - {asset: home-1-pv, url: \"" + url + "\", unit: 1}\n" +
		"  - {asset: home-1-meter, url: \"" + url + "\", unit: 2}\n" +
		"  - {asset: home-1-battery, url: \"" + url + "\", unit: 3}\n"
	if err := os.WriteFile(filepath.Join(dir, "gateway.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// From an enrolled gateway to a report that its community's authority vouches for.
func TestCommissionAndVerify(t *testing.T) {
	dir, said := lane(t)
	edge := t.TempDir()
	token := runOK(t, "gateway", "token", "gw-lane", "--dir", dir)
	runOK(t, "gateway", "enrol", strings.TrimSpace(token), "--dir", edge)
	writeGateway(t, edge, said(`gateways +(\S+)`), simulated(t))
	code, out, errs := command(t, false, "y\n", "gateway", "commission", "--dir", edge, "--period", "50ms", "--timer", "2s", "--installer", "Ada & Søn", "--place", "<cellar>")
	if code != 0 || !strings.Contains(out, "READY") || !strings.Contains(errs, "Go on? [y/N]") {
		t.Fatalf("ended with %d\n%s\n%s", code, out, errs)
	}
	file := regexp.MustCompile(`report verify (\S+\.json)`).FindStringSubmatch(out)
	if file == nil {
		t.Fatal(out)
	}
	checked := runOK(t, "gateway", "report", "verify", file[1], "--dir", edge)
	if !strings.Contains(checked, "as it was signed") || !strings.Contains(checked, "gw-lane of") {
		t.Error(checked)
	}
	_, out, errs = command(t, false, "", "gateway", "report", "verify", file[1])
	if !strings.Contains(out, "authority  SHA-256") || !strings.Contains(errs, "--authority") {
		t.Error(out, errs)
	}
	b, err := os.ReadFile(file[1])
	if err != nil {
		t.Fatal(err)
	}
	forged := filepath.Join(t.TempDir(), "forged.json")
	if err := os.WriteFile(forged, []byte(strings.ReplaceAll(string(b), "sim-home-1-battery", "another-battery")), 0o600); err != nil {
		t.Fatal(err)
	}
	if said := runFails(t, "gateway", "report", "verify", forged, "--dir", edge); !strings.Contains(said, "altered") {
		t.Error(said)
	}
	page, err := os.ReadFile(strings.TrimSuffix(file[1], ".json") + ".html")
	if err != nil || !strings.Contains(string(page), "Ada &amp; Søn") || !strings.Contains(string(page), "&lt;cellar&gt;") || strings.Count(string(page), "<svg") != 2 {
		t.Errorf("%v\n%.3000s", err, page)
	}
	pdf, err := os.ReadFile(strings.TrimSuffix(file[1], ".json") + ".pdf")
	if err != nil || !strings.HasPrefix(string(pdf), "%PDF-") {
		t.Errorf("%v %.10s", err, pdf)
	}
}

// A site with a device that is not what gateway.yaml says: the report says which,
// and the rest is judged all the same.
func TestCommissionWithTrouble(t *testing.T) {
	for name, c := range trouble(t) {
		t.Run(name, func(t *testing.T) {
			edge := edgeOf(t, c.url)
			text, err := os.ReadFile(filepath.Join(edge, "gateway.yaml"))
			if err != nil {
				t.Fatal(err)
			}
			lines := strings.Split(string(text), "\n")
			short := strings.Join(lines[:3], "\n") + "\nmodbus: {timeout: 300ms}\n"
			if err := os.WriteFile(filepath.Join(edge, "gateway.yaml"), []byte(short), 0o600); err != nil {
				t.Fatal(err)
			}
			code, out, errs := command(t, false, "", "gateway", "commission", "--dir", edge, "--json")
			var s commission.Signed
			var r commission.Report
			if err := json.Unmarshal([]byte(out), &s); err != nil {
				t.Fatal(err, errs)
			}
			if err := json.Unmarshal(s.Report, &r); err != nil {
				t.Fatal(err)
			}
			p := r.Devices[0].Proofs[0]
			if code != 1 || r.Verdict != commission.NotReady || p.Outcome != commission.Failed || !strings.Contains(p.Text+p.Next, c.want) {
				t.Errorf("ended with %d, %s: %+v; want %q", code, r.Verdict, p, c.want)
			}
		})
	}
}

func TestCommissionSaysWhatIsWrong(t *testing.T) {
	edge := edgeOf(t, "tcp://127.0.0.1:1")
	for _, c := range []struct{ args, want string }{
		{"--dir " + t.TempDir(), "gateway.yaml"},
		{"--dir " + edge + " --step 50", "200 to 3000"},
		{"--dir " + edge + " --period 1h", "50ms to 5s"},
		{"--dir " + edge + " --timer 1s", "2s to 5m"},
		{"--dir " + edge + " --device nothing", "no such asset"},
	} {
		code, out, errs := command(t, false, "", append([]string{"gateway", "commission"}, strings.Fields(c.args)...)...)
		if code == 0 || out != "" || !strings.Contains(errs, c.want) {
			t.Errorf("commission %s: %d, printed %q, said %s; want %q", c.args, code, out, errs, c.want)
		}
	}
}

// SPDX-License-Identifier: AGPL-3.0-or-later

package config_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/internal/config"
	"github.com/allmende-energy/allmende/internal/settings"
)

const plain = `id: lane
name: Lane
timezone: Europe/Vienna
members:
  - id: anna
    name: Anna
    groups: [families]
connections:
  - id: village
    kind: public_grid
    import_limit_w: 11000.5
sites:
  - id: home
    member: anna
    connection: village
    latitude: 48.2
    longitude: -16.25
assets:
  - id: meter
    kind: meter
    site: home
    gateway: gw
  - id: battery
    kind: battery
    site: home
    gateway: gw
    battery:
      capacity_kwh: 6.4
      max_charge_w: 5000
      max_discharge_w: 5000
      max_soc_percent: 95.5
      charge_efficiency_percent: 94.8683
      placement: own_meter
gateways:
  - id: gw
`

func TestCommunity(t *testing.T) {
	c, err := config.DecodeCommunity("c.yaml", []byte(plain))
	if err != nil {
		t.Fatal(err)
	}
	b := c.Assets[1].Battery
	if b.Capacity != 6_400*energy.WattHour || b.MaxSoC != 955 || b.MinSoC != 0 || b.ChargeEff != 948_683 || b.DischargeEff != 948_683 || b.Dispatchable {
		t.Errorf("battery %+v", b)
	}
	if c.Connections[0].ImportLimit != 11_000_500 || c.Sites[0].Longitude != "-16.25" || c.Members[0].Groups[0] != "families" {
		t.Errorf("community %+v", c)
	}
}

// TestProblems changes one line at a time; each problem names line, field and
// what to do.
func TestProblems(t *testing.T) {
	for _, c := range []struct{ old, new, want string }{
		{"id: lane\n", "id: Lane\n", `c.yaml:1: id: "Lane" cannot be an id`},
		{"timezone: Europe/Vienna\n", "timezone: Europe/Wien\n", "c.yaml:3: timezone: "},
		{"timezone: Europe/Vienna\n", "", "c.yaml:1: timezone: missing"},
		{"name: Anna", "nam: Anna", "c.yaml:6: members[0].nam: unknown field (did you mean name?)"},
		{"name: Anna", "colour: red", "known here: id, name, groups"},
		{"name: Anna", "name: 5", "c.yaml:6: members[0].name: \"5\" stands where text belongs; put it in quotes"},
		{"name: Anna", "name:", "nothing is written"},
		{"groups: [families]", "groups: families", "c.yaml:7: members[0].groups: \"families\" stands where a list belongs"},
		{"groups: [families]", "groups: [families, families]", `c.yaml:7: members[0].groups[1]: "families" is there twice`},
		{"groups: [families]", "bid: {price: 0.18 EUR/kWh, most_kwh: 0.5}\n    offer: {price: 8 ct/kWh}", "c.yaml:8: members[0].offer.price: price \"8 ct/kWh\""},
		{"groups: [families]", "bid: {most_kwh: 0.5}", "members[0].bid: its price is missing"},
		{"groups: [families]", "offer: {price: 8 ct/kWh EUR, most_kwh: 0}", "c.yaml:7: members[0].offer.most_kwh: an order for nothing is none"},
		{"groups: [families]", "bid: {price: 8 ct/kWh EUR, most_kwh: -1}", "c.yaml:7: members[0].bid: at most -1 kWh"},
		{"  - id: anna\n", "  - &x\n    id: anna\n", "c.yaml:5: members[0]: anchors"},
		{"kind: public_grid", "kind: grid", `c.yaml:10: connections[0].kind: "grid"`},
		{"kind: public_grid", "kind: one_meter", "c.yaml:9: connections[0].meter: missing"},
		{"import_limit_w: 11000.5", "import_limit_w: 11 kW", `c.yaml:11: connections[0].import_limit_w: power "11 kW"`},
		{"import_limit_w: 11000.5", "import_limit_w: -1", "c.yaml:11: connections[0].import_limit_w"},
		{"import_limit_w: 11000.5", "import_limit_w: 1e4", "a plain number of watts, such as 5000"},
		{"member: anna", "member: ana", `c.yaml:14: sites[0].member: there is no member "ana"`},
		{"connection: village", "connection: town", "c.yaml:15: sites[0].connection"},
		{"latitude: 48.2", "latitude: 148.2", "c.yaml:16: sites[0].latitude"},
		{"    latitude: 48.2\n", "", "latitude and longitude come together"},
		{"kind: meter", "kind: metre", `c.yaml:20: assets[0].kind: "metre"`},
		{"  - id: meter\n    kind: meter\n    site: home\n    gateway: gw\n", "", `c.yaml:13: sites[0]: site "home" has no grid meter`},
		{"    site: home\n    gateway: gw\n    battery", "    site: house\n    gateway: gw\n    battery", "c.yaml:25: assets[1].site"},
		{"    battery:\n", "    batery:\n", "did you mean battery?"},
		{"capacity_kwh: 6.4", "capacity_kwh: 0", "c.yaml:28: assets[1].battery.capacity_kwh"},
		{"capacity_kwh: 6.4", "capacity_kwh: true", `c.yaml:28: assets[1].battery.capacity_kwh: energy "true"`},
		{"max_soc_percent: 95.5", "max_soc_percent: 195", "assets[1].battery.min_soc_percent"},
		{"max_soc_percent: 95.5", "max_soc_percent: 95.55", `"95.55" is no percentage with at most 1 decimals`},
		{"charge_efficiency_percent: 94.8683", "charge_efficiency_percent: 0.95", "assets[1].battery.charge_efficiency_percent: 0.9500 %"},
		{"placement: own_meter", "placement: cellar", "assets[1].battery.placement"},
		{"  - id: gw\n", "  - id: other\n", `assets[0].gateway: there is no gateway "gw"`},
		{"gateways:\n  - id: gw\n", "gateways:\n  - id: gw\n  - id: gw\n", `c.yaml:36: gateways[1].id: "gw" is there twice`},
		{"gateways:\n  - id: gw\n", "gateways:\n  -\n", "empty"},
		{"name: Lane\n", "name: Lane\nname: Lane\n", "c.yaml:3: name: comes a second time (first in line 2); remove one"},
		{"name: Lane\n", "name: [Lane\n", "not YAML"},
		{"id: lane\n", "id: lane\n---\nid: lane\n", "a second document"},
	} {
		if !strings.Contains(plain, c.old) {
			t.Fatalf("the file does not hold %q", c.old)
		}
		_, err := config.DecodeCommunity("c.yaml", []byte(strings.Replace(plain, c.old, c.new, 1)))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v\nexpected %q", c.new, err, c.want)
		}
		if problems := (config.Problems)(nil); !errors.As(err, &problems) {
			t.Errorf("%q: the error is a %T", c.new, err)
		}
	}
}

func TestAllProblemsAtOnce(t *testing.T) {
	broken := strings.NewReplacer("member: anna", "member: ana", "capacity_kwh: 6.4", "capacity_kwh: x", "name: Anna", "nam: Anna").Replace(plain)
	_, err := config.DecodeCommunity("c.yaml", []byte(broken))
	var problems config.Problems
	if !errors.As(err, &problems) || len(problems) != 3 {
		t.Fatalf("%d problems: %v", len(problems), err)
	}
	if problems[0].Line != 6 || problems[1].Line != 14 || problems[2].Line != 28 {
		t.Errorf("lines %v", problems)
	}
}

func TestHostileFiles(t *testing.T) {
	for name, src := range map[string]string{
		"empty":       "",
		"comment":     "# nothing\n",
		"list":        "- a\n",
		"text":        "hello",
		"large":       strings.Repeat("# x\n", 3<<20),
		"many":        "members:\n" + strings.Repeat("  - bad\n", 10_000),
		"bare number": "5",
	} {
		if _, err := config.DecodeCommunity("c.yaml", []byte(src)); err == nil {
			t.Errorf("%s was taken", name)
		} else if len(err.Error()) > 100_000 {
			t.Errorf("%s: an error of %d bytes", name, len(err.Error()))
		}
	}
}

func TestServe(t *testing.T) {
	s, err := config.DecodeServe("dir/allmende.yaml", []byte("http: {listen: \":8081\", proxies: [10.0.0.1], names: [sun.example.org]}\ndata: /var/lib/x\nlive: {tick: 5s}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if s.HTTP.Listen != ":8081" || s.Database.Reveal() != "/var/lib/x/ledger.db" || s.Database.String() != "/var/lib/x/ledger.db" || s.Community != "dir/community.yaml" || s.Tick != 5*energy.Second || s.GRPC.Listen != config.DefaultGRPC {
		t.Errorf("%+v", s)
	}
	want, _, err := config.Defaults("dir")
	if err != nil || s.StaleAfter != want.StaleAfter || want.Gateways.Key != "dir/allmende.yaml, gateways.listen" {
		t.Errorf("defaults %+v, %v", want, err)
	}
	for src, want := range map[string]string{
		"http: {listen: 8080}":                                    `a.yaml:1: http.listen: "8080" is no address`,
		"http: {listen: \"x:99999\"}":                             "the port is a number",
		"http: {listen: \"127.0.0.1:9090\"}":                      "taken by another listener",
		"http: {names: [\"http://x\"]}":                           "http.names[0]",
		"gateways: {listen: \"0.0.0.0:9443\"}":                    "gateways.address: missing",
		"gateways: {listen: \":9443\"}":                           "gateways.address: missing",
		"live: {tick: 1ms}":                                       "live.tick",
		"gateways: {certificate_life: 10m}":                       "write 1h to 400d",
		"gateways: {certificate_life: 500d}":                      "500d: write 1h to 400d",
		"gateways: {certificate_life: month}":                     "write days, such as 30d",
		"gateways: {certificate_grace: -1h}":                      "write 0d to 3650d",
		"live: {tick: 1s, setpoint_ttl: 1s}":                      "live.setpoint_ttl",
		"live: {tick: 1s, stale_after: 2h}":                       "live.stale_after",
		"live: {tick: soon}":                                      `span "soon"`,
		"data: \"\"":                                              "data: no path",
		"http: {listen: \"0.0.0.0:80\"}":                          "a.yaml:1: http.listen: 0.0.0.0:80 can be reached from other computers, and passwords would travel unencrypted: name a certificate (http.tls.cert",
		"grpc: {listen: \"10.0.0.1:80\"}":                         "grpc.listen: 10.0.0.1:80 can be reached",
		"grpc: {proxies: [10.0.0.1/8, x]}":                        `grpc.proxies[1]: "x" is no address and no network`,
		"http: {tls: {cert: x}}":                                  "http.tls.key: missing",
		"http: {tls: {key: x}}":                                   "http.tls.cert: missing",
		"http: {tls: {acme: true}}":                               "acme.domains: missing",
		"http: {tls: {cert: x, key: y, acme: true}}":              "choose one",
		"http: {tls: {acme: true}}\nacme: {domains: [x.example]}": "acme.terms_agreed: ",
		"http: {tls: {acme: true}}\nacme: {domains: [x.example], terms_agreed: true, http_port: 0, tls_port: 0}": "acme.http_port: neither",
		"http: {redirect: \"0.0.0.0:80\"}": "nowhere encrypted",
		"htpp: {}":                         "did you mean http?",
	} {
		if _, err := config.DecodeServe("a.yaml", []byte(src)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, expected %q", src, err, want)
		}
	}
	if _, err := config.LoadServe(t.TempDir()); err == nil || !strings.Contains(err.Error(), "allmende init") {
		t.Errorf("a folder without configuration: %v", err)
	}
}

func TestExamplesAreValid(t *testing.T) {
	if _, err := config.DecodeServe("allmende.yaml", config.ExampleServe()); err != nil {
		t.Error(err)
	}
	c, err := config.DecodeCommunity("community.yaml", config.ExampleCommunity("moon-lane", `The "Moon": lane #1`, "Europe/Prague"))
	if err != nil {
		t.Fatal(err)
	}
	if c.ID != "moon-lane" || c.Name != `The "Moon": lane #1` || c.Timezone != "Europe/Prague" {
		t.Errorf("%q %q %q", c.ID, c.Name, c.Timezone)
	}
	// What is commented out in allmende.yaml are the defaults, or an example
	// where there is none: with all of it in, the file is read all the same.
	var in []string
	for line := range strings.Lines(string(config.ExampleServe())) {
		if hidden := regexp.MustCompile(`^( *)# (.*\n)`).FindStringSubmatch(line); hidden != nil {
			line = hidden[1] + hidden[2]
		}
		in = append(in, line)
	}
	all := strings.Join(in, "")
	var s config.Serve
	loaded, err := config.Settings(&s).Load(settings.Sources{File: "dir/allmende.yaml", Content: []byte(all)})
	if err != nil {
		t.Fatalf("%v\nin\n%s", err, all)
	}
	for _, k := range config.Settings(&s).Keys() {
		if loaded.From(k.Name) != settings.FromFile || k.Default != "" && loaded.Text(k.Name) != k.Default {
			t.Errorf("%s is %q in the file, from %s", k.Name, loaded.Text(k.Name), loaded.From(k.Name))
		}
	}
}

func TestLargeCommunity(t *testing.T) {
	var b strings.Builder
	const homes = 2_000
	b.WriteString("id: big\nname: Big\ntimezone: UTC\nconnections: [{id: c, kind: public_grid}]\ngateways: [{id: gw}]\nmembers:\n")
	for i := range homes {
		fmt.Fprintf(&b, "  - id: m%d\n", i)
	}
	b.WriteString("sites:\n")
	for i := range homes {
		fmt.Fprintf(&b, "  - id: s%d\n    member: m%d\n    connection: c\n", i, i)
	}
	b.WriteString("assets:\n")
	for i := range homes {
		fmt.Fprintf(&b, "  - id: a%d\n    kind: meter\n    site: s%d\n    gateway: gw\n", i, i)
	}
	path := filepath.Join(t.TempDir(), "community.yaml")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.LoadCommunity(path)
	if err != nil || len(c.Assets) != homes {
		t.Errorf("%d assets, %v", len(c.Assets), err)
	}
}

func FuzzDecodeCommunity(f *testing.F) {
	f.Add([]byte(plain))
	f.Add(config.ExampleCommunity("lane", "Lane", "UTC"))
	f.Add([]byte("members: [{id: [}]"))
	f.Fuzz(func(t *testing.T, src []byte) {
		c, err := config.DecodeCommunity("c.yaml", src)
		var problems config.Problems
		if err != nil {
			if !errors.As(err, &problems) || len(problems) == 0 {
				t.Errorf("an error of no kind: %v", err)
			}
			return
		}
		if err := c.Validate(); err != nil {
			t.Errorf("passed, but is not valid: %v", err)
		}
	})
}

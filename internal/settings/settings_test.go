// SPDX-License-Identifier: AGPL-3.0-or-later

package settings_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/internal/settings"
)

type target struct {
	Name    string
	Listen  string
	Names   []string
	Tick    energy.Span
	Ready   bool
	Count   int
	Level   string
	Secret  settings.Secret
	Store   settings.Secret
	Wait    time.Duration
	Devices []device
}

type device struct {
	Asset string `yaml:"asset"`
}

func set(t *target) settings.Set {
	return settings.Set{
		File: "f.yaml", Prefix: "FARM_", Others: []string{"FARM_GW_*", "FARM_URL"}, Start: "begin with the example",
		Parts: []settings.Part{{
			Title: "All", Intro: "Everything.",
			Keys: []settings.Key{
				{Name: "name", Value: settings.Text(&t.Name), Help: "A name. It is any.", Example: "x"},
				{Name: "web.listen", Value: settings.Address(&t.Listen), Default: "127.0.0.1:80", Help: "Where."},
				{Name: "web.names", Value: settings.HostNames(&t.Names), Default: "a.example, b.example", Help: "Names."},
				{Name: "web.tls.ready", Value: settings.Switch(&t.Ready), Default: "false", Help: "Whether."},
				{Name: "tick", Value: settings.Span(&t.Tick, energy.Second, energy.Minute), Default: "2s", Help: "How often."},
				{Name: "count", Value: settings.Number(&t.Count, 1, 9), Default: "3", Help: "How many."},
				{Name: "level", Value: settings.Choice(&t.Level, "low", "high"), Default: "low", Help: "How much."},
				{Name: "password", Value: settings.Hidden(&t.Secret), Help: "Hidden."},
				{Name: "store", Value: settings.HiddenURL(&t.Store, "address", "postgres"), Help: "Where data are."},
				{Name: "wait", Value: settings.Duration(&t.Wait, 0, time.Hour), Default: "1m", Help: "How long."},
				{Name: "devices", Value: settings.Structured(&t.Devices, "list of devices"), Help: "Devices."},
			},
			Check: func(report settings.Report) {
				if t.Count == 9 && t.Level == "low" {
					report("count", "9 is too many for low")
				}
			},
		}},
	}
}

func load(t *target, file string, environ []string, flags ...settings.Flag) (*settings.Loaded, error) {
	return set(t).Load(settings.Sources{File: "f.yaml", Content: []byte(file), Environ: environ, Flags: flags})
}

func TestLayers(t *testing.T) {
	if err := set(&target{}).Validate(); err != nil {
		t.Fatal(err)
	}
	var got target
	l, err := load(&got, "name: file\nweb:\n  listen: 127.0.0.1:81\n  names: [c.example]\ncount: 4\ntick: 3s\ndevices:\n  - asset: roof\n",
		[]string{"PATH=/bin", "FARM_GW_X=1", "FARM_URL=u", "FARM_WEB_NAMES=d.example,e.example", "FARM_TICK=4s", "FARM_WEB_TLS_READY=true", "FARM_PASSWORD=12345"},
		settings.Flag{Key: "tick", Value: "5s", Name: "--tick"}, settings.Flag{Key: "level", Value: "high", Name: "--set level"})
	if err != nil {
		t.Fatal(err)
	}
	if got.Name != "file" || got.Listen != "127.0.0.1:81" || !slices.Equal(got.Names, []string{"d.example", "e.example"}) || got.Tick != 5*energy.Second ||
		!got.Ready || got.Count != 4 || got.Level != "high" || got.Wait != time.Minute || got.Secret.Reveal() != "12345" || len(got.Devices) != 1 || got.Devices[0].Asset != "roof" {
		t.Errorf("%+v", got)
	}
	for name, want := range map[string]string{
		"name": "file f.yaml, name", "web.names": "environment FARM_WEB_NAMES", "tick": "flag --tick", "level": "flag --set level", "wait": "default f.yaml, wait",
	} {
		if at := string(l.From(name)) + " " + l.Place(name); at != want {
			t.Errorf("%s is from %q, want %q", name, at, want)
		}
	}
	if l.Line("count") != 5 || l.Text("web.names") != "d.example, e.example" || l.Text("password") != "(secret)" {
		t.Errorf("line %d, names %q, password %q", l.Line("count"), l.Text("web.names"), l.Text("password"))
	}
}

// TestProblems: each names where the value comes from, the setting, and what to do.
func TestProblems(t *testing.T) {
	for _, c := range []struct {
		file    string
		environ string
		flag    string
		want    string
	}{
		{file: "nam: x", want: "f.yaml:1: nam: unknown field (did you mean name?)"},
		{file: "web:\n  tls:\n    redy: true", want: "f.yaml:3: web.tls.redy: unknown field (did you mean ready?)"},
		{file: "name: 5", want: `put it in quotes: "5"`},
		{file: "web: {listen: 8080}", want: `f.yaml:1: web.listen: "8080" is no address`},
		{file: "web:\n  names: [a.example, 'http://x']", want: `f.yaml:2: web.names[1]: "http://x" is no host name`},
		{file: "tick: 2m", want: "f.yaml:1: tick: 2m0s: write 1s to 1m0s"},
		{file: "count: \"4\"", want: "f.yaml:1: count:"},
		{file: "count: 9", want: "f.yaml:1: count: 9 is too many"},
		{file: "web: {tls: {ready: yes}}", want: "true or false"},
		{file: "", want: "f.yaml: empty; begin with the example"},
		{file: "wait: x", environ: "FARM_WAIT=1s", want: "f.yaml:1: wait:"}, // also where it does not count
		{environ: "FARM_TICKS=1s", want: "FARM_TICKS: unknown variable (did you mean FARM_TICK?)"},
		{environ: "FARM_DEVICES=x", want: "FARM_DEVICES: unknown variable"},
		{environ: "FARM_NOTHING_LIKE_IT=1", want: "FARM_NOTHING_LIKE_IT: unknown variable; `allmende config explain` lists all"},
		{environ: "FARM_TICK=soon", want: `FARM_TICK: tick: span "soon"`},
		{environ: "FARM_TICK=", want: "FARM_TICK: tick: "},
		{environ: "FARM_WEB_NAMES=a.example,x y", want: `FARM_WEB_NAMES: web.names[1]: "x y"`},
		{environ: "FARM_COUNT=9", want: "FARM_COUNT: count: 9 is too many for low"},
		{environ: "FARM_WEB_TLS_READY=1", want: "FARM_WEB_TLS_READY: web.tls.ready: "},
		{environ: "FARM_LEVEL=medium", want: `FARM_LEVEL: level: "medium": write one of low, high`},
		{flag: "tick=1h", want: "--set tick: tick: 1h0m0s: write"},
		{flag: "tock=1s", want: "--set tock: unknown setting (did you mean tick?)"},
		{flag: "web=1", want: "--set web: unknown setting"},
		{flag: "devices=1", want: "--set devices: unknown setting"},
		{flag: "count=9", want: "--set count: count: 9 is too many for low"},
	} {
		file := c.file
		if file == "" && (c.environ != "" || c.flag != "") {
			file = "{}"
		}
		var flags []settings.Flag
		if c.flag != "" {
			f, err := settings.ParseSet(c.flag)
			if err != nil {
				t.Fatal(err)
			}
			flags = append(flags, f)
		}
		_, err := load(&target{}, file, []string{c.environ}, flags...)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c, err)
		}
		if _, ok := errors.AsType[settings.Problems](err); !ok {
			t.Errorf("%+v: a %T", c, err)
		}
	}
	if _, err := settings.ParseSet("log.level"); err == nil || !strings.Contains(err.Error(), "key=value") {
		t.Error(err)
	}
}

func TestAllProblemsAtOnce(t *testing.T) {
	_, err := load(&target{}, "tick: soon\ncount: 9\nnam: x\n", []string{"FARM_LEVL=low", "FARM_WAIT=x"}, settings.Flag{Key: "tock", Name: "--set tock"})
	problems, _ := errors.AsType[settings.Problems](err)
	if len(problems) != 6 {
		t.Errorf("%d problems:\n%v", len(problems), err)
	}
}

// TestASecretIsNeverShown, whoever prints what holds it, and however wrong it is.
func TestASecretIsNeverShown(t *testing.T) {
	const word = "hunter2"
	var got target
	l, err := load(&got, "password: "+word+"\nstore: postgres://anna:"+word+"@db/lane?sslpassword="+word+"\n", nil)
	if err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	var logged strings.Builder
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("x", "secret", got.Secret, "all", got)
	slog.New(slog.NewTextHandler(&logged, nil)).Info("x", "secret", got.Store, "all", got)
	shown := fmt.Sprintf("%v %+v %#v %s %q %x %d %s %s %s %s", got, got, got, got.Secret, got.Secret, got.Secret, got.Secret, asJSON, logged.String(), l.Text("password"), l.Text("store"))
	if strings.Contains(shown, word) || strings.Contains(shown, fmt.Sprintf("%x", word)) {
		t.Error(shown)
	}
	if !strings.Contains(l.Text("store"), "postgres://anna:xxxxx@db/lane") || !strings.Contains(got.Store.Reveal(), word) {
		t.Error(l.Text("store"))
	}
	for _, file := range []string{"store: mysql://anna:" + word + "@db", "store: 'postgres://%zz" + word + "'", "password: [" + word + "]", "store: {a: " + word + "}"} {
		if _, err := load(&target{}, file, nil); err == nil || strings.Contains(err.Error(), word) {
			t.Errorf("%q: %v", file, err)
		}
	}
}

func TestDeclarationsAreChecked(t *testing.T) {
	var s string
	for want, keys := range map[string][]settings.Key{
		"declared twice":        {{Name: "a", Value: settings.Text(&s), Help: "A."}, {Name: "a", Value: settings.Text(&s), Help: "A."}},
		"the variable X_A_B":    {{Name: "a.b", Value: settings.Text(&s), Help: "A."}, {Name: "a_b", Value: settings.Text(&s), Help: "A."}},
		"a setting and a group": {{Name: "a", Value: settings.Text(&s), Help: "A."}, {Name: "a.b", Value: settings.Text(&s), Help: "A."}},
		"is refused":            {{Name: "a", Value: settings.Address(&s), Default: "here", Help: "A."}},
		"full stop":             {{Name: "a", Value: settings.Text(&s)}},
		"small letters":         {{Name: "A", Value: settings.Text(&s), Help: "A."}},
		"no value to go to":     {{Name: "a", Help: "A."}},
	} {
		if err := (settings.Set{Prefix: "X_", Parts: []settings.Part{{Keys: keys}}}).Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestExample(t *testing.T) {
	got := string(set(&target{}).Example("Head."))
	const want = `## Head.

## Everything.

## A name.
# name: x
# web:
  ## Where.
#   listen: 127.0.0.1:80
  ## Names.
#   names: [a.example, b.example]
#   tls:
    ## Whether.
#     ready: false
`
	if !strings.HasPrefix(got, want) {
		t.Errorf("%s", got)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add("web: {listen: ':1'}", "FARM_TICK=1s", "level=low")
	f.Add("devices: [{asset: x}]", "FARM_WEB_NAMES=a,b", "web.names=,")
	f.Fuzz(func(t *testing.T, file, variable, flag string) {
		var flags []settings.Flag
		if parsed, err := settings.ParseSet(flag); err == nil {
			flags = append(flags, parsed)
		}
		_, err := load(&target{}, file, []string{variable}, flags...)
		if _, ok := errors.AsType[settings.Problems](err); err != nil && !ok {
			t.Errorf("an error of no kind: %v", err)
		}
	})
}

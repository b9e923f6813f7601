// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/allmende-energy/allmende/charters"
	"github.com/allmende-energy/allmende/internal/config"
)

// says fails where a command's output lacks something.
func says(t *testing.T, text string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !regexp.MustCompile(w).MatchString(text) {
			t.Errorf("nothing like %q in:\n%s", w, text)
		}
	}
}

// TestAStewardAtWork goes through what a steward does with the register, and
// looks at what she sees.
func TestAStewardAtWork(t *testing.T) {
	dir, _, _ := serving(t, false)
	at := func(args ...string) []string { return append(args, "--dir", dir) }

	says(t, runOK(t, at("member", "list")...), `MEMBER +NAME +GROUPS +SINCE`, `anna +Anna +families`, `mill +Mill House co-operative +-`)
	says(t, runOK(t, at("member", "add", "dora", "--name", "Dora Klein", "--group", "families", "--on", "now", "--note", "moved in")...),
		`Recorded as revision 2, in force from \d{4}-`, `member dora: added, name Dora Klein, groups families`)
	says(t, runFails(t, at("member", "add", "dora")...), `member dora: it is in the register already`)
	says(t, runOK(t, at("site", "add", "dora-home", "--member", "dora", "--connection", "village", "--meter", "dora-meter", "--gateway", "gw-lane", "--on", "now")...),
		`site dora-home: added`, `asset dora-meter: added`)
	says(t, runOK(t, at("asset", "add", "dora-meter-2", "--replaces", "dora-meter", "--dry-run")...), `It would be recorded as revision 4`, `dora-meter: retired`)
	says(t, runOK(t, at("asset", "add", "dora-cell", "--kind", "battery", "--site", "dora-home", "--gateway", "gw-lane", "--capacity-kwh", "9.6",
		"--max-charge-w", "5000", "--max-discharge-w", "5000", "--placement", "behind_meter", "--dispatchable", "--min-soc-percent", "10", "--on", "now")...), `battery.capacity_kwh 9.6`)
	says(t, runOK(t, at("asset", "show", "dora-cell")...), `battery.reserve_soc_percent +10`, `battery.charge_efficiency_percent +94.8683`, `battery.dispatchable +true`)

	says(t, runFails(t, at("member", "retire", "dora")...), `there is no member "dora"`, `--with-sites`)
	next := time.Now().AddDate(0, 1, 0).Format(time.DateOnly)
	says(t, runOK(t, at("member", "retire", "dora", "--with-sites", "--on", next)...), `in force from `+next+` 00:00`, `asset dora-cell: retired`, `member dora: retired`)
	says(t, runOK(t, at("member", "list")...), `dora +Dora Klein +families +\S+ \S+ +`+next)
	if list := runOK(t, at("member", "list", "--on", next)...); strings.Contains(list, "dora") {
		t.Errorf("she is still there:\n%s", list)
	}
	says(t, runOK(t, at("member", "list", "--on", next, "--all")...), `dora .*\(absent\)`)
	says(t, runOK(t, at("member", "history", "dora")...), `RECORDED +BY +FROM +WHAT +NOTE`, `local .* added, name Dora Klein.*moved in`, `retired`)
	says(t, runFails(t, at("member", "change", "anna", "--name", "A", "--on", "1999-12-31")...), `the community began`)
	says(t, runFails(t, at("member", "change", "anna", "--name", "A", "--on", "tomorrow")...), `"tomorrow" is no date: write a day such as`)
	says(t, runFails(t, at("member", "change", "anna")...), `names no field`)
	says(t, runOK(t, at("member", "change", "anna", "--name", "Anna")...), `Nothing to do`)
	says(t, runFails(t, at("connection", "show", "nowhere")...), `there is no connection nowhere`)

	says(t, runFails(t, at("member", "bid", "anna", "--price", "0.18", "--most", "0.5")...), `no market round`)
	says(t, runFails(t, at("member", "bid", "anna")...), `--price 0.18`)
	says(t, runFails(t, at("member", "offer", "anna", "--withdraw", "--most", "1")...), `--withdraw alone`)
	says(t, runFails(t, at("member", "offer", "anna", "--price", "0.18", "--most", "0")...), `--most "0" is no amount`)
	says(t, runOK(t, at("member", "orders", "anna")...), `now +- +-`)

	says(t, runOK(t, at("gateway", "add", "gw-new", "--name", "Attic")...), `gateway gw-new: added`)
	says(t, runOK(t, at("gateway", "token", "gw-new")...), `^alm1\.`)

	var shown struct {
		Kind, ID string
		Fields   map[string]string
		Until    string
	}
	if err := json.Unmarshal([]byte(runOK(t, at("member", "show", "dora", "--json")...)), &shown); err != nil || shown.Fields["name"] != "Dora Klein" || shown.Until == "" {
		t.Errorf("%+v, %v", shown, err)
	}
	back, err := config.DecodeCommunity("export", []byte(runOK(t, at("register", "export")...)))
	if err != nil || len(back.Members) != 5 {
		t.Errorf("export: %v, %d members", err, len(back.Members))
	}
	says(t, runOK(t, at("register", "show")...), `CONNECTION +KIND`, `SITE +MEMBER`, `GATEWAY +NAME`, `ASSET +KIND`)
	changes := filepath.Join(t.TempDir(), "changes.json")
	if err := os.WriteFile(changes, []byte(`[{"op":"change","fields":["name"],"entry":{"gateway":{"id":"gw-mill","name":"Cellar"}}},
		{"op":"add","entry":{"member":{"id":"eva"}},"from":"now"}]`), 0o600); err != nil {
		t.Fatal(err)
	}
	says(t, runOK(t, at("register", "apply", changes)...), `gateway gw-mill: name Cellar`, `member eva: added`)
}

// TestBidsOnTheCommandLine: an order is entered, shown, told to machines and
// withdrawn; what the charter does not take is refused with what it does.
func TestBidsOnTheCommandLine(t *testing.T) {
	dir, _, _ := serving(t, false, func(dir string) {
		for _, one := range charters.Templates() {
			if one.Name == "needs-first" {
				text := strings.NewReplacer("[vulnerable]", "[families]", "\nsharing:\n", "\nsharing:\n  market: {lowest: 5 ct/kWh EUR, highest: 30 ct/kWh EUR}\n").Replace(string(one.YAML))
				if err := os.WriteFile(filepath.Join(dir, "charter.yaml"), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
	at := func(args ...string) []string { return append(args, "--dir", dir) }
	says(t, runOK(t, at("member", "bid", "anna", "--price", "0.18", "--most", "0.5", "--note", "for the car")...),
		`Recorded as revision 2, in force from \d{4}-`, `member anna: bid.price 18 ct/kWh EUR, bid.most_kwh 0.5`)
	says(t, runOK(t, at("member", "offer", "ben", "--price", "8 ct/kWh EUR", "--dry-run")...), `It would be recorded`, `member ben: offer.price 8 ct/kWh EUR\n$`)
	says(t, runOK(t, at("member", "orders", "anna")...), `FROM +BID +OFFER`, `18 ct/kWh EUR, at most 0.5 kWh +-`)
	says(t, runFails(t, at("member", "bid", "anna", "--price", "0.31")...), `takes prices from 5 ct/kWh EUR to 30 ct/kWh EUR, and 31 ct/kWh EUR is not between them`)
	says(t, runFails(t, at("member", "bid", "anna", "--price", "0.2", "--on", "now")...), `a bid or an offer stands before the interval begins, so let it change from \d{4}-`)
	says(t, runFails(t, at("member", "orders", "nobody")...), `there is no member "nobody" at present`)

	const later = "2099-01-01"
	says(t, runOK(t, at("member", "show", "anna", "--on", later)...), `bid.price +18 ct/kWh EUR`, `bid.most_kwh +0.5`, `offer.price +-`)
	says(t, runOK(t, at("member", "bid", "anna", "--withdraw", "--on", later)...), `in force from `+later+` 00:00`, `member anna: bid withdrawn`)
	var told struct {
		Coming []struct {
			From time.Time
			Bid  *struct{ Price, Most string }
		}
		LowestPrice string `json:"lowest_price"`
	}
	if err := json.Unmarshal([]byte(runOK(t, at("member", "orders", "anna", "--json")...)), &told); err != nil || told.LowestPrice != "5 ct/kWh EUR" ||
		len(told.Coming) == 0 || told.Coming[len(told.Coming)-1].Bid != nil {
		t.Errorf("%+v, %v", told, err)
	}
	says(t, runOK(t, at("member", "history", "anna")...), `bid.price 18 ct/kWh EUR, bid.most_kwh 0.5 +for the car`, `bid withdrawn`)
	back, err := config.DecodeCommunity("export", []byte(runOK(t, at("register", "export", "--on", "2098-12-31")...)))
	if err != nil || back.Members[0].Bid == nil || back.Members[0].Bid.Price.String() != "18 ct/kWh EUR" {
		t.Errorf("export: %v, %+v", err, back.Members)
	}
}

// TestASpreadsheetOfMembers: a dry run lists every problem, an import does all
// of it, a second one nothing.
func TestASpreadsheetOfMembers(t *testing.T) {
	dir, _, _ := serving(t, false)
	file := filepath.Join(t.TempDir(), "members.csv")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("Mitglied;Name;Anschluss;Breitengrad;Länge;gateway\nFritz;Fritz;village;48,2;16,3;gw-lane\nhans;Hans;nowhere;x;;gw-lane\nida;Ida;village;;;gw-9\n")
	code, out, errs := command(t, false, "", "member", "import", file, "--dry-run", "--dir", dir)
	if code != 1 || errs != "" {
		t.Errorf("ended with %d: %s", code, errs)
	}
	says(t, out, `problems: 3. Nothing was done`, `2 +Mitglied +"Fritz" cannot be an id`, `3 +Breitengrad +"x" is not decimal degrees`, `4 +gateway +there is no gateway "gw-9"`)
	write("Mitglied;Name;Anschluss;Breitengrad;Länge;gateway\nfritz;Fritz;village;48,2;16,3;gw-lane\nanna;Anna B.;;;;\n")
	says(t, runOK(t, "member", "import", file, "--dry-run", "--dir", dir), `2 rows; 3 entries are new, 1 are different`, `It would be recorded as revision 2`)
	says(t, runOK(t, "member", "import", file, "--dir", dir, "--on", "now"), `Recorded as revision 2`, `member anna: name Anna B\.`)
	says(t, runOK(t, "member", "import", file, "--dir", dir), `0 entries are new, 0 are different`, `Nothing to do`)
	template := filepath.Join(t.TempDir(), "new.xlsx")
	runOK(t, "member", "import", "--template", template)
	says(t, runFails(t, "member", "import", "--template", template), `is there already`)
	says(t, runOK(t, "member", "import", template, "--dir", dir, "--dry-run"), `1 rows`)
	says(t, runOK(t, "member", "import", "--help"), `connection +The id of the connection`, `--dry-run`)
}

// TestFromAnotherComputer: with a token for the register the same commands work
// over the page's address, and with none they don't.
func TestFromAnotherComputer(t *testing.T) {
	dir, out, _ := serving(t, false)
	page := out.find(t, `page and REST +(\S+)`)
	says(t, runFails(t, "member", "list", "--server", page), `token`)
	token := strings.Fields(runOK(t, "token", "create", "--name", "sheet", "--scope", "register", "--dir", dir))[0]
	says(t, runOK(t, "member", "add", "gina", "--name", "Gina", "--server", page, "--token", token), `member gina: added`)
	says(t, runOK(t, "member", "history", "gina", "--server", page, "--token", token), `token`)
	other := strings.Fields(runOK(t, "token", "create", "--name", "screen", "--scope", "live", "--dir", dir))[0]
	says(t, runFails(t, "member", "add", "hugo", "--server", page, "--token", other), `register.change`)
}

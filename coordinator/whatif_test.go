// SPDX-License-Identifier: AGPL-3.0-or-later

package coordinator

import (
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/allmende-energy/allmende/charters"
)

// ended asks until a what-if has ended.
func (b *browser) ended(id string) fields {
	b.t.Helper()
	for began := time.Now(); time.Since(began) < 3*time.Minute; time.Sleep(10 * time.Millisecond) {
		op := b.must(http.MethodGet, "/v1/what-ifs/"+id, nil)
		if op["endedUnixMs"] != "0" {
			return op
		}
	}
	b.t.Fatalf("what-if %s does not end", id)
	return nil
}

// changeOf is a member's change in a result.
func changeOf(result map[string]any, id string) map[string]any {
	for _, m := range result["members"].([]any) {
		if m.(map[string]any)["memberId"] == id {
			return m.(map[string]any)
		}
	}
	return nil
}

// A charter is tried out on what was recorded: the treasurer sees everybody's
// change, a member her own and the sums, and again gives the same.
func TestWhatIf(t *testing.T) {
	c, dir, w := settledLane(t, 4)
	stella := c.found(t)
	ada := c.invite(t, stella, "ada.a", "", "treasurer")
	fay := c.invite(t, stella, "fay.f", "fay", "member")

	ask := fields{"charterTemplate": "proportional", "retailPrice": "30 ct/kWh EUR"}
	op := ada.ended(ada.must(http.MethodPost, "/v1/what-ifs", ask)["id"].(string))
	if op["state"] != "WHAT_IF_STATE_DONE" || op["doneIntervals"] != "4" || op["againstName"] != "Needs first" || op["mine"] != true {
		t.Fatalf("%v", op)
	}
	all := op["result"].(map[string]any)
	if members := all["members"].([]any); len(members) != 6 || all["conserved"] != true || all["intervals"] != "4" || len(all["withheld"].([]any)) != 0 {
		t.Errorf("%v", all)
	}
	// 600 Wh for 1,500 Wh of need: proportionally Emil's 400 get 160; under needs-first he had 240.
	if s := all["spread"].(map[string]any); s["leastMilliwattHours"] != "-320000" || s["gain"] == "0" {
		t.Errorf("%v", s)
	}
	before, after := all["before"].(map[string]any), all["after"].(map[string]any)
	if before["receivedMilliwattHours"] != "2400000" || after["receivedMilliwattHours"] != "2400000" {
		t.Errorf("energy appeared or got lost: %v", all)
	}

	seen := fay.must(http.MethodGet, "/v1/what-ifs/"+op["id"].(string), nil)
	own := seen["result"].(map[string]any)
	if members := own["members"].([]any); len(members) != 1 || members[0].(map[string]any)["memberId"] != "fay" || own["before"] == nil || own["spread"].(map[string]any)["leastMilliwattHours"] != nil || seen["mine"] != false {
		t.Errorf("a member sees %v", seen)
	}
	again := fay.ended(fay.must(http.MethodPost, "/v1/what-ifs", ask)["id"].(string))["result"].(map[string]any)
	if again["resultHash"] != all["resultHash"] || again["dataHash"] != all["dataHash"] || all["resultHash"] == "" {
		t.Errorf("the same question has another answer: %v", again)
	}

	// Who pays whom, line by line: the treasurer sees everybody's, a member her own.
	priced := fields{"charterTemplate": "proportional", "retailPrice": "30 ct/kWh EUR", "feedInPrice": "8 ct/kWh EUR"}
	id := ada.ended(ada.must(http.MethodPost, "/v1/what-ifs", priced)["id"].(string))["id"].(string)
	if r := ada.must(http.MethodGet, "/v1/what-ifs/"+id, nil)["result"].(map[string]any); len(r["parties"].([]any)) != 0 || len(changeOf(r, "fay")["afterLines"].([]any)) != 0 {
		t.Errorf("lines that nobody asked for: %v", r)
	}
	lines := ada.must(http.MethodGet, "/v1/what-ifs/"+id+"?lines=true", nil)["result"].(map[string]any)
	var sum int64
	for _, list := range []string{"members", "parties"} {
		for _, x := range lines[list].([]any) {
			for _, l := range x.(map[string]any)["afterLines"].([]any) {
				minor, err := strconv.ParseInt(l.(map[string]any)["amountMinor"].(string), 10, 64)
				if err != nil || l.(map[string]any)["kind"] == "" || l.(map[string]any)["rule"] == "" {
					t.Errorf("line %v: %v", l, err)
				}
				sum += minor
			}
		}
	}
	if parties := lines["parties"].([]any); sum != 0 || len(parties) != 3 || parties[1].(map[string]any)["role"] != "retailer" || parties[1].(map[string]any)["afterMinor"] == "0" {
		t.Errorf("what all pay comes to %d: %v", sum, parties)
	}
	hers := fay.must(http.MethodGet, "/v1/what-ifs/"+id+"?lines=true", nil)["result"].(map[string]any)
	mine := changeOf(hers, "fay")["afterLines"].([]any)
	if len(mine) == 0 || !reflect.DeepEqual(mine, changeOf(lines, "fay")["afterLines"]) || len(hers["members"].([]any)) != 1 || len(hers["parties"].([]any)) != 0 || !slices.Contains(hers["withheld"].([]any), any("parties")) {
		t.Errorf("a member sees %v", hers)
	}
	one := ada.must(http.MethodGet, "/v1/what-ifs/"+id+"?lines=true&lines_of_member_id=fay", nil)["result"].(map[string]any)
	if len(changeOf(one, "fay")["afterLines"].([]any)) != len(mine) || len(changeOf(one, "emil")["afterLines"].([]any)) != 0 {
		t.Errorf("the lines of one: %v", one)
	}

	// Who sees no curves can't find one out by a charter that is made for it.
	text := ""
	for _, one := range charters.Templates() {
		if one.Name == "proportional" {
			text = string(one.YAML)
		}
	}
	only := strings.Replace(strings.Replace(text, "rules_version: 1", "rules_version: 2", 1), "    - name:", "    - groups: [vulnerable]\n      name:", 1)
	fay.refused(http.StatusForbidden, "tells of fewer than 5 members", http.MethodPost, "/v1/what-ifs", fields{"charterYaml": only})
	trick := ada.ended(ada.must(http.MethodPost, "/v1/what-ifs", fields{"charterYaml": only})["id"].(string))
	if r := trick["result"].(map[string]any); r["before"] == nil {
		t.Errorf("%v", trick)
	}
	if r := fay.must(http.MethodGet, "/v1/what-ifs/"+trick["id"].(string)+"?lines=true", nil)["result"].(map[string]any); r["before"] != nil || r["spread"] != nil || len(changeOf(r, "fay")["afterLines"].([]any)) != 0 {
		t.Errorf("a member is shown the sums of a charter for few: %v", r)
	}

	// Where few come first her own share would show when they use energy: over whole weeks only.
	first := strings.Replace(only, "    - groups: [vulnerable]\n      name:", "    - {name: first, method: proportional, groups: [vulnerable]}\n    - name:", 1)
	fay.refused(http.StatusForbidden, "over whole weeks", http.MethodPost, "/v1/what-ifs", fields{"charterYaml": first})
	if op := ada.must(http.MethodPost, "/v1/what-ifs", fields{"charterYaml": first}); op["fromUnixMs"] != "0" || op["toUnixMs"] != "0" {
		t.Errorf("the treasurer sees what everybody uses: %v", op)
	}

	// Nor quarter-hour by quarter-hour.
	fay.refused(http.StatusForbidden, "less than a week", http.MethodPost, "/v1/what-ifs", fields{"charterTemplate": "proportional", "fromUnixMs": fmt.Sprint(int64(dawn)), "toUnixMs": fmt.Sprint(int64(dawn.Add(quarter)))})
	short := fay.ended(fay.must(http.MethodPost, "/v1/what-ifs", fields{"charterTemplate": "proportional", "toUnixMs": fmt.Sprint(int64(dawn.Add(quarter)))})["id"].(string))
	if r := short["result"].(map[string]any); r["intervals"] != "1" || r["before"] != nil || r["after"] != nil || r["spread"] != nil || len(r["members"].([]any)) != 1 {
		t.Errorf("a member is shown the sums of a quarter-hour: %v", r)
	}

	fay.refused(http.StatusForbidden, "somebody else", http.MethodPost, "/v1/what-ifs/"+op["id"].(string)+"/cancel", fields{})
	for _, x := range []struct {
		word string
		ask  fields
	}{
		{"no template", fields{"charterTemplate": "nowhere"}},
		{"which charter", fields{}},
		{"not both", fields{"charterTemplate": "proportional", "charterYaml": text}},
		{"rounds", fields{"charterYaml": strings.Replace(text, "rounds:", "rounded:", 1)}},
		{"retail_price", fields{"charterTemplate": "proportional", "retailPrice": "cheap"}},
		{"EUR", fields{"charterTemplate": "proportional", "retailPrice": "30 Rp/kWh CHF"}},
		{"from_unix_ms", fields{"charterTemplate": "proportional", "fromUnixMs": "5", "toUnixMs": "5"}},
	} {
		ada.refused(http.StatusBadRequest, x.word, http.MethodPost, "/v1/what-ifs", x.ask)
	}
	nothing := ada.ended(ada.must(http.MethodPost, "/v1/what-ifs", fields{"charterTemplate": "proportional", "fromUnixMs": "1", "toUnixMs": "2"})["id"].(string))
	if nothing["state"] != "WHAT_IF_STATE_FAILED" || !strings.Contains(nothing["error"].(string), "no settled interval") {
		t.Errorf("%v", nothing)
	}
	if list := fay.must(http.MethodGet, "/v1/what-ifs", nil)["whatIfs"].([]any); len(list) != 7 || list[0].(map[string]any)["result"] != nil {
		t.Errorf("%v", list)
	}

	// They end with the coordinator, which says so.
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	c = startInService(t, dir, w)
	b := c.browser(t)
	b.must(http.MethodPost, "/v1/sign-in", fields{"login": "ada.a", "password": goodPassword})
	b.refused(http.StatusNotFound, "end with the coordinator", http.MethodGet, "/v1/what-ifs/"+op["id"].(string), nil)
}

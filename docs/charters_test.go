// SPDX-License-Identifier: AGPL-3.0-or-later

package docs

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/allmende-energy/allmende/charters"
	"github.com/allmende-energy/allmende/charters/expr"
	"github.com/allmende-energy/allmende/commons/charter"
)

// TestChartersAreDocumented: what charters.md says of templates and variables is
// made of the program's own words.
func TestChartersAreDocumented(t *testing.T) {
	const file = "charters.md"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := string(text)
	for _, part := range []struct{ name, content string }{
		{"variables", variables()}, {"jurisdictions", jurisdictions(t)}, {"read", readings(t)}, {"templates", templates(t)}, {"changes", changes(t)}, {"whatif", years(t)},
	} {
		begin := fmt.Sprintf("<!-- begin %s: written by `go test ./docs -update` -->\n", part.name)
		end := fmt.Sprintf("<!-- end %s -->\n", part.name)
		before, rest, ok1 := strings.Cut(want, begin)
		_, after, ok2 := strings.Cut(rest, end)
		if !ok1 || !ok2 {
			t.Fatalf("%s has no place for %s", file, part.name)
		}
		want = before + begin + "\n" + part.content + "\n" + end + after
	}
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if want != string(text) {
		t.Errorf("%s is not what the program says: go test ./docs -update", file)
	}
}

func variables() string {
	var b strings.Builder
	b.WriteString("| name | what it is |\n| --- | --- |\n")
	for _, v := range expr.Variables() {
		says := v.Means
		if v.Kind == expr.Number {
			says += fmt.Sprintf("; a whole number from %d to %d", v.Lowest, v.Highest)
		}
		fmt.Fprintf(&b, "| `%s` | %s |\n", v.Name, says)
	}
	return b.String()
}

func decoded(t *testing.T, tpl charters.Template) charter.Charter {
	t.Helper()
	c, err := charters.Decode(tpl.YAML)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func jurisdictions(t *testing.T) string {
	var b strings.Builder
	b.WriteString("| template | where | rule | as of |\n| --- | --- | --- | --- |\n")
	for _, tpl := range charters.Templates() {
		if j := decoded(t, tpl).Jurisdiction; j != nil {
			fmt.Fprintf(&b, "| [`%s`](../charters/%s.yaml) | %s | %s | %s |\n", tpl.Name, tpl.Name, j.Country, strings.TrimSpace(j.Source), j.Date)
		}
	}
	return b.String()
}

// readings is how far the law behind each template was read, as its note says.
func readings(t *testing.T) string {
	var b strings.Builder
	b.WriteString("| template | in its own words, and by what others say of it |\n| --- | --- |\n")
	for _, tpl := range charters.Templates() {
		_, note, noted := strings.Cut(string(tpl.YAML), "# How far we read it: ")
		note, _, _ = strings.Cut(note, "jurisdiction:\n")
		if law := decoded(t, tpl).Jurisdiction != nil; law != noted {
			t.Errorf("%s does not say how far its law was read", tpl.Name)
		}
		if noted {
			fmt.Fprintf(&b, "| `%s` | %s |\n", tpl.Name, strings.Join(strings.Fields(strings.ReplaceAll(note, "\n# ", " ")), " "))
		}
	}
	return b.String()
}

// changes are what `charter diff` says of some pairs of templates.
func changes(t *testing.T) string {
	byName := map[string]charter.Charter{}
	for _, tpl := range charters.Templates() {
		byName[tpl.Name] = decoded(t, tpl)
	}
	var b strings.Builder
	for i, pair := range [][2]string{{"equal-shares", "needs-first"}, {"proportional", "contribution-weighted"}, {"de-ggv-constant", "de-ggv-proportional"}} {
		if i > 0 {
			b.WriteString("\n")
		}
		before, after := byName[pair[0]], byName[pair[1]]
		fmt.Fprintf(&b, "From `%s` to `%s`:\n", pair[0], pair[1])
		for j, d := range charter.Diff(&before, &after) {
			if j > 0 {
				b.WriteString(">")
			}
			fmt.Fprintf(&b, "\n> %s\n", strings.Join(strings.Fields(d.String()), " "))
		}
	}
	return b.String()
}

func templates(t *testing.T) string {
	var b strings.Builder
	for i, tpl := range charters.Templates() {
		if i > 0 {
			b.WriteString("\n")
		}
		c := decoded(t, tpl)
		text := c.Explain()
		fmt.Fprintf(&b, "### %s\n\n[charters/%s.yaml](../charters/%s.yaml): %s\n", tpl.Name, tpl.Name, tpl.Name, text[0])
		for j, p := range text[1:] {
			if j > 0 {
				b.WriteString(">")
			}
			fmt.Fprintf(&b, "\n> %s\n", strings.ReplaceAll(p, "\n", " "))
		}
	}
	return b.String()
}

// years puts the answers of whatif.md, which stand there as the command printed
// them, side by side: a line for each member.
func years(t *testing.T) string {
	text, err := os.ReadFile("whatif.md")
	if err != nil {
		t.Fatal(err)
	}
	first, second := answer(t, string(text), "needs-first"), answer(t, string(text), "proportional")
	var b strings.Builder
	b.WriteString("| member | needs | equal shares | needs first | change | money | proportional | change | money |\n")
	b.WriteString("| --- " + strings.Repeat("| ---: ", 8) + "|\n")
	for i, a := range first {
		p := second[i]
		if len(a) != 8 || len(p) != 8 || !slices.Equal(a[:3], p[:3]) {
			t.Fatalf("whatif.md: %v and %v do not start from the same", a, p)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s | %s | %s |\n",
			strings.ReplaceAll(a[0], "_", " "), a[1], a[2], a[3], a[4], a[7], p[3], p[4], p[7])
	}
	return b.String() + "\nkWh in the year; money is what a home would pay more (+) or less (-), in the currency of the recorded prices.\n"
}

// answer are the cells of what the command said from equal shares to a template.
func answer(t *testing.T, text, template string) (rows [][]string) {
	_, rest, found := strings.Cut(text, "![Change for each member from equal shares to "+strings.ReplaceAll(template, "-", " "))
	_, rest, began := strings.Cut(rest, "```\n")
	table, _, ended := strings.Cut(rest, "```\n")
	if !found || !began || !ended {
		t.Fatalf("whatif.md has no answer for %s", template)
	}
	for _, line := range strings.Split(table, "\n") {
		if cells := strings.Fields(line); strings.HasPrefix(line, "  ") && len(cells) == 8 && cells[0] != "member" {
			rows = append(rows, cells)
		}
	}
	if len(rows) != 18 {
		t.Fatalf("whatif.md: %d lines for %s, of seventeen homes and their sum", len(rows), template)
	}
	return rows
}

// Whoever copies the page's examples gets a charter that works.
func TestExamplesOfChartersAreValid(t *testing.T) {
	text, err := os.ReadFile("charters.md")
	if err != nil {
		t.Fatal(err)
	}
	whole := "charter: allmende/1\nrules_version: 2\nname: the page's\ninterval: 15m\nsettle_after: 24h\ncurrency: EUR\nprice: 0 ct/kWh EUR\n" +
		"residual: {by: equal}\nstorage: {use: none}\n"
	blocks := strings.Split(string(text), "```yaml\n")[1:]
	for _, b := range blocks {
		yaml, _, _ := strings.Cut(b, "```")
		if !strings.HasPrefix(yaml, "charter:") {
			whole += yaml
		} else if _, err := charters.Decode([]byte(yaml)); err != nil { // one by itself
			t.Errorf("%v:\n%s", err, yaml)
		}
	}
	if _, err := charters.Decode([]byte(whole)); err != nil || len(blocks) != 4 {
		t.Errorf("%d examples: %v", len(blocks), err)
	}
}

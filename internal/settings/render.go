// SPDX-License-Identifier: AGPL-3.0-or-later

package settings

import (
	"fmt"
	"regexp"
	"strings"
)

// plainText needs no quotes in YAML.
var plainText = regexp.MustCompile(`^[A-Za-z0-9./][A-Za-z0-9._:/@%+-]*$`)

// otherText would be taken for a number or a word with a meaning.
var otherText = regexp.MustCompile(`^[0-9._+-]+$|^(true|false|null|yes|no|on|off)$`)

// yaml is a value as the file has it.
func (v Value) yaml(value string) string {
	quote := func(s string) string {
		if !plainText.MatchString(s) || v.form == text && otherText.MatchString(s) {
			return fmt.Sprintf("%q", s)
		}
		return s
	}
	if v.form != list {
		return quote(value)
	}
	entries := v.split(value)
	for i, e := range entries {
		entries[i] = quote(e)
	}
	return "[" + strings.Join(entries, ", ") + "]"
}

// Example is a commented file with every setting: those that are written, and
// the others with their defaults behind a #. Behind ## stands prose.
func (s Set) Example(header string) []byte {
	var b strings.Builder
	comment(&b, "", header)
	for _, p := range s.Parts {
		b.WriteString("\n")
		comment(&b, "", p.Intro)
		b.WriteString("\n")
		root := &group{}
		for _, k := range p.Keys {
			root.add(strings.Split(k.Name, delim), k)
		}
		root.write(&b, "", false)
	}
	return []byte(b.String())
}

// group is what the file shows of a group of settings.
type group struct {
	name    string
	key     *Key // of a leaf
	members []*group
}

func (g *group) add(path []string, k Key) {
	for _, m := range g.members {
		if m.name == path[0] {
			m.add(path[1:], k)
			return
		}
	}
	m := &group{name: path[0]}
	g.members = append(g.members, m)
	if len(path) == 1 {
		m.key = &k
		return
	}
	m.add(path[1:], k)
}

// written says whether anything in the group stands in a new file.
func (g *group) written() bool {
	if g.key != nil {
		return g.key.Written
	}
	for _, m := range g.members {
		if m.written() {
			return true
		}
	}
	return false
}

// write shows the group: prose behind ##, and what is not written behind #, so
// that taking "# " away puts a line into force.
func (g *group) write(b *strings.Builder, indent string, hidden bool) {
	for _, m := range g.members {
		hide := hidden || !m.written()
		begin := indent
		switch {
		case hidden:
			begin = "# " + indent
		case hide:
			begin = indent + "# "
		}
		if m.key == nil {
			fmt.Fprintf(b, "%s%s:\n", begin, m.name)
			m.write(b, indent+"  ", hide)
			continue
		}
		comment(b, indent, m.key.Summary())
		shown := m.key.Default
		if shown == "" {
			shown = m.key.Example
		}
		fmt.Fprintf(b, "%s%s: %s\n", begin, m.name, m.key.Value.yaml(shown))
	}
}

// Summary is the first sentence of the explanation.
func (k Key) Summary() string {
	if i := strings.Index(k.Help, ". "); i >= 0 {
		return k.Help[:i+1]
	}
	return k.Help
}

func comment(b *strings.Builder, indent, text string) {
	for paragraph := range strings.SplitSeq(text, "\n") {
		for _, line := range Wrap(paragraph, 88-len(indent)) {
			b.WriteString(strings.TrimRight(indent+"## "+line, " ") + "\n")
		}
	}
}

// Wrap breaks a paragraph into lines of at most so many bytes where words
// allow it. What is indented stays as it is.
func Wrap(text string, width int) []string {
	if strings.HasPrefix(text, " ") || text == "" {
		return []string{text}
	}
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		switch {
		case line == "":
			line = word
		case len(line)+1+len(word) > width:
			lines = append(lines, line)
			line = word
		default:
			line += " " + word
		}
	}
	return append(lines, line)
}

// Markdown documents every setting.
func (s Set) Markdown() string {
	var b strings.Builder
	for _, p := range s.Parts {
		fmt.Fprintf(&b, "## %s\n\n", p.Title)
		paragraph(&b, p.Intro)
		for _, k := range p.Keys {
			fmt.Fprintf(&b, "### %s\n\n", k.Name)
			paragraph(&b, k.Help)
			b.WriteString("| | |\n| --- | --- |\n")
			row := func(what, text string) {
				if text != "" {
					fmt.Fprintf(&b, "| %s | %s |\n", what, text)
				}
			}
			row("value", k.Value.describe())
			row("default", orNone(k.Default))
			row("example", code(k.Example))
			row("variable", code(s.Variable(k)))
			b.WriteString("\n")
		}
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

// describe is what may stand there.
func (v Value) describe() string {
	if v.Bounds == "" {
		return v.Kind
	}
	return v.Kind + ", " + v.Bounds
}

// Describe is what may stand there, for people.
func (k Key) Describe() string { return k.Value.describe() }

func paragraph(b *strings.Builder, text string) {
	for part := range strings.SplitSeq(text, "\n") {
		for _, line := range Wrap(part, 105) {
			b.WriteString(line + "\n")
		}
	}
	b.WriteString("\n")
}

func orNone(text string) string {
	if text == "" {
		return "none"
	}
	return code(text)
}

func code(text string) string {
	if text == "" {
		return ""
	}
	return "`" + text + "`"
}

// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// manualCmd writes what packages carry beside the program. It is made of the
// same words as --help, so that the two cannot say different things.
type manualCmd struct {
	Page       manualPageCmd       `cmd:"" help:"Print the manual page, allmende(1)."`
	Completion manualCompletionCmd `cmd:"" help:"Print the completion for bash: source <(allmende manual completion)"`
}

type (
	manualPageCmd       struct{}
	manualCompletionCmd struct{}
)

// Run prints roff.
func (c *manualPageCmd) Run(k *kong.Context, out *output) error {
	info := buildInformation()
	date, _, _ := strings.Cut(info.Committed, "T")
	page := &roff{}
	page.macro("TH", "ALLMENDE", "1", date, "allmende "+info.Version, "Allmende")
	page.macro("SH", "NAME")
	page.text("allmende - a coordinator for energy commons")
	page.macro("SH", "SYNOPSIS")
	page.text("allmende COMMAND [flags]")
	page.macro("SH", "DESCRIPTION")
	page.text(about)
	page.macro("SH", "COMMANDS")
	for _, command := range leaves(k.Model.Node) {
		page.macro("SS", "allmende "+usage(command))
		page.text(command.Help)
		page.text(command.Detail)
		for _, p := range command.Positional {
			page.item("<"+p.Name+">", p.Help)
		}
		for _, f := range visible(command.Flags) {
			page.item(f.String(), f.Help)
		}
	}
	page.macro("SH", "FILES")
	page.item("/var/lib/allmende", "The community's folder, where the Debian package's service looks for it.")
	page.item("/var/lib/allmende-gateway", "The gateway's folder.")
	page.item("/etc/allmende", "Settings of this computer, and secrets for other servers.")
	page.macro("SH", "SEE ALSO")
	page.text("The documents in /usr/share/doc/allmende, and https://github.com/allmende-energy/allmende")
	out.Printf("%s", page.b.String())
	return nil
}

// Run prints a script for bash.
func (c *manualCompletionCmd) Run(k *kong.Context, out *output) error {
	var cases strings.Builder
	var walk func(n *kong.Node, path string)
	walk = func(n *kong.Node, path string) {
		var words []string
		for _, child := range n.Children {
			if !child.Hidden {
				words = append(words, child.Name)
				walk(child, strings.TrimSpace(path+" "+child.Name))
			}
		}
		for _, f := range visible(n.Flags) {
			words = append(words, "--"+f.Name)
		}
		slices.Sort(words)
		fmt.Fprintf(&cases, "\t%q) echo %q ;;\n", path, strings.Join(words, " "))
	}
	walk(k.Model.Node, "")
	out.Printf(completion, cases.String())
	return nil
}

// completion follows the words that are commands; what is no command is an
// argument, and completes as a file.
const completion = `# bash completion for allmende
_allmende_words() {
	case "$1" in
%s	esac
}
_allmende() {
	local current=${COMP_WORDS[COMP_CWORD]} path= word
	for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
		case $word in
		-*) continue ;;
		esac
		case " $(_allmende_words "$path") " in
		*" $word "*) path="${path:+$path }$word" ;;
		esac
	done
	mapfile -t COMPREPLY < <(compgen -W "$(_allmende_words "$path")" -- "$current")
}
complete -o default -F _allmende allmende
`

// leaves are the commands that do something, in the order of the help.
func leaves(n *kong.Node) []*kong.Node {
	var out []*kong.Node
	for _, child := range n.Children {
		switch {
		case child.Hidden:
		case len(child.Children) == 0:
			out = append(out, child)
		default:
			out = append(out, leaves(child)...)
		}
	}
	return out
}

// usage is how a command is called, without the program's name.
func usage(n *kong.Node) string {
	words := []string{n.Name}
	for p := n.Parent; p != nil && p.Parent != nil; p = p.Parent {
		words = append([]string{p.Name}, words...)
	}
	for _, p := range n.Positional {
		words = append(words, "<"+p.Name+">")
	}
	return strings.Join(words, " ")
}

func visible(flags []*kong.Flag) []*kong.Flag {
	return slices.DeleteFunc(slices.Clone(flags), func(f *kong.Flag) bool { return f.Hidden })
}

// roff is the format of manual pages, as little of it as we need.
type roff struct{ b strings.Builder }

func (r *roff) macro(name string, args ...string) {
	r.b.WriteString("." + name)
	for _, a := range args {
		r.b.WriteString(` "` + strings.ReplaceAll(escape(a), `"`, `\(dq`) + `"`)
	}
	r.b.WriteByte('\n')
}

// text fills paragraphs, and leaves examples, which are indented, as they are.
func (r *roff) text(s string) {
	for paragraph := range strings.SplitSeq(strings.Trim(s, "\n"), "\n\n") {
		switch {
		case strings.TrimSpace(paragraph) == "":
		case strings.HasPrefix(paragraph, " "):
			r.b.WriteString(".PP\n.nf\n" + escape(paragraph) + "\n.fi\n")
		default:
			r.b.WriteString(".PP\n" + escape(strings.Join(strings.Fields(paragraph), " ")) + "\n")
		}
	}
}

func (r *roff) item(term, s string) {
	r.b.WriteString(".TP\n\\fB" + escape(term) + "\\fR\n" + escape(s) + "\n")
}

// escape keeps roff from reading commands into text.
func escape(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, "`", "\\(ga", "'", `\(aq`).Replace(s)
	if strings.HasPrefix(s, ".") {
		s = `\&` + s
	}
	return s
}

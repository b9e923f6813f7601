// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/allmende-energy/allmende/charters"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/coordinator"
	"github.com/allmende-energy/allmende/internal/config"
)

// initCmd writes the files of a new community.
type initCmd struct {
	Dir      string `arg:"" help:"The folder to write into; it is made if it is not there."`
	Name     string `placeholder:"NAME" help:"What people call the community."`
	ID       string `placeholder:"ID" help:"Its short name for machines; without: made of the name."`
	Timezone string `placeholder:"ZONE" help:"IANA time zone, such as Europe/Vienna."`
	Charter  string `placeholder:"TEMPLATE" help:"The charter to begin from: equal-shares or proportional."`
	Empty    bool   `help:"A register without example members: yours come from a spreadsheet."`
	Yes      bool   `short:"y" help:"Ask nothing; take the defaults for what no flag says."`
}

// Defaults of what is asked.
const (
	defaultName     = "Sunny Lane"
	defaultTimezone = "Europe/Vienna"
)

// Run asks what is not said, checks everything, and only then writes.
func (c *initCmd) Run(_ context.Context, out *output) error {
	if err := c.free(); err != nil {
		return err
	}
	if err := c.complete(out); err != nil {
		return err
	}
	template, err := c.template()
	if err != nil {
		return err
	}
	register := config.ExampleCommunity
	if c.Empty {
		register = config.EmptyCommunity
	}
	files := []newFile{
		{config.ServeFile, config.ExampleServe()},
		{"community.yaml", register(roll.CommunityID(c.ID), c.Name, c.Timezone)},
		{"charter.yaml", template},
	}
	if _, err := config.DecodeCommunity("community.yaml", files[1].content); err != nil {
		return err
	}
	if err := os.MkdirAll(c.Dir, 0o750); err != nil {
		return fmt.Errorf("making the folder: %w", err)
	}
	for _, f := range files {
		if err := f.write(c.Dir); err != nil {
			return err
		}
	}
	cfg, err := coordinator.Load(c.Dir)
	if err != nil {
		return err
	}
	if _, err := coordinator.Prepare(cfg); err != nil {
		return err
	}
	c.say(out)
	return nil
}

// written are the names that init writes, as free and say need them.
func written() []string {
	return []string{config.ServeFile, "community.yaml", "charter.yaml", "authority", "ledger.key", "data"}
}

// free refuses a folder that holds any of what would be written.
func (c *initCmd) free() error {
	var there []string
	for _, name := range written() {
		if _, err := os.Lstat(filepath.Join(c.Dir, name)); err == nil {
			there = append(there, name)
		}
	}
	if len(there) > 0 {
		return fmt.Errorf("%s already holds %s, and nothing is overwritten: name another folder, or move these away", c.Dir, strings.Join(there, ", "))
	}
	return nil
}

// complete takes what flags say, asks for the rest on a terminal, and checks it.
func (c *initCmd) complete(out *output) error {
	templates := served() // those of a law are many: the question names where to find them
	in := bufio.NewReader(io.LimitReader(out.In, 64<<10))
	questions := []struct {
		value    *string
		flag     string
		question string
		usual    func() string
		check    func(string) error
	}{
		{&c.Name, "--name", "What is the community called?", func() string { return defaultName }, checkName},
		{&c.ID, "--id", "Its short name for machines, which stays for good?", func() string { return slug(c.Name) }, roll.CheckID},
		{&c.Timezone, "--timezone", "In which time zone is it?", func() string { return defaultTimezone }, checkTimezone},
		{&c.Charter, "--charter", "Which charter do you begin from (" + strings.Join(templates, ", ") + ", or one of: allmende charter templates)?", func() string { return templates[0] }, c.checkCharter},
	}
	for _, q := range questions {
		switch {
		case *q.value != "":
		case c.Yes:
			*q.value = q.usual()
		case !out.IsTerminal:
			return fmt.Errorf("there is no terminal to ask on: write %s, or --yes for the defaults (%s)", q.flag, q.usual())
		default:
			if err := ask(out, in, q.question, q.usual(), q.value, q.check); err != nil {
				return err
			}
		}
		if err := q.check(*q.value); err != nil {
			return fmt.Errorf("%s: %w", q.flag, err)
		}
	}
	return nil
}

// ask puts a question until the answer will do.
func ask(out *output, in *bufio.Reader, question, usual string, answer *string, check func(string) error) error {
	for {
		out.Remark("%s [%s] ", question, usual)
		line, err := in.ReadString('\n')
		if err != nil {
			return errors.New("no answer: nothing was written; flags and --yes answer without a terminal, see --help")
		}
		*answer = strings.TrimSpace(line)
		if *answer == "" {
			*answer = usual
		}
		if err := check(*answer); err == nil {
			return nil
		} else {
			out.Remark("  %v\n", err)
		}
	}
}

func checkName(s string) error {
	const most = 200
	if s == "" || len(s) > most || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0xfffd }) {
		return fmt.Errorf("write a name of 1 to %d characters on one line", most)
	}
	return nil
}

func checkTimezone(s string) error {
	if _, err := time.LoadLocation(s); err != nil || s == "" || s == "Local" {
		return fmt.Errorf("%q is no IANA time zone: write one such as Europe/Vienna", s)
	}
	return nil
}

// served are our own templates that serve can put in force as they are.
func served() []string {
	var names []string
	for _, t := range charters.Templates() {
		ch, err := charters.Decode(t.YAML)
		if err == nil && ch.Jurisdiction == nil {
			names = append(names, t.Name)
		}
	}
	return names
}

func (c *initCmd) checkCharter(name string) error {
	c.Charter = name
	_, err := c.template()
	return err
}

func (c *initCmd) template() ([]byte, error) {
	var names []string
	for _, t := range charters.Templates() {
		if t.Name == c.Charter {
			return t.YAML, nil
		}
		names = append(names, t.Name)
	}
	return nil, fmt.Errorf("there is no charter template %q: write one of %s", c.Charter, strings.Join(names, ", "))
}

// slug makes an id of a name: "Sonnige Gärten" becomes "sonnige-gaerten".
func slug(name string) string {
	plain := strings.NewReplacer("ä", "ae", "ö", "oe", "ü", "ue", "ß", "ss", "é", "e", "è", "e", "à", "a", "ç", "c", "ñ", "n", "ø", "o", "å", "a").
		Replace(strings.ToLower(name))
	var b strings.Builder
	for _, r := range plain {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	const most = 40
	id := strings.Trim(b.String()[:min(b.Len(), most)], "-")
	if id == "" {
		return "community"
	}
	return id
}

type newFile struct {
	name    string
	content []byte
}

// write makes the file, and refuses to replace one that appeared meanwhile.
func (f newFile) write(dir string) error {
	file, err := os.OpenFile(filepath.Join(dir, f.name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("writing %s: %w", f.name, err)
	}
	_, err = file.Write(f.content)
	if err = errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("writing %s: %w", f.name, err)
	}
	return nil
}

func (c *initCmd) say(out *output) {
	register, first := "members, sites and devices: an example, put your own in", "Edit community.yaml, then charter.yaml."
	if c.Empty {
		register, first = "who begins: your members come from a spreadsheet, see 3", "Read charter.yaml, and change it."
	}
	out.Printf(`%[2]s is ready in %[1]s:
  community.yaml   %[5]s
  charter.yaml     the rules (%[3]s): read them, change them, decide on them
  allmende.yaml    where this computer listens
  authority/ ledger.key   secret keys: keep them to yourself, and back them up

Next:
  1. %[6]s The charter is in force from the
     first start on, and changes by decision only:
       allmende charter explain %[1]s/charter.yaml
  2. Start the coordinator, and open http://%[4]s:
       allmende serve --dir %[1]s
`, c.Dir, c.Name, c.Charter, config.DefaultHTTP, register, first)
	step := 3
	if c.Empty {
		out.Printf(`  3. Fill in a spreadsheet of your members and meters, and take it in:
       allmende member import --template members.csv
       allmende member import members.csv --dry-run --dir %s
`, c.Dir)
		step++
	}
	out.Printf(`  %[2]d. For each gateway make a token on this computer, which is good for ten
     minutes, and give it to "allmende gateway enrol" on the gateway:
       allmende gateway token gw-lane --dir %[1]s
`, c.Dir, step)
}

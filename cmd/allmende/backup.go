// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/allmende-energy/allmende/coordinator/backup"
)

// backupCmd makes a backup, or the key for it.
type backupCmd struct {
	Make backupMakeCmd `cmd:"" default:"withargs" help:"Make one file with everything that brings the community back, also while the coordinator runs."`
	Key  backupKeyCmd  `cmd:"" help:"Make a pair of keys: one to make backups for, one on paper to open them."`
}

type backupMakeCmd struct {
	Dir            string   `default:"." type:"existingdir" placeholder:"DIR" help:"The community's folder."`
	To             string   `required:"" type:"path" placeholder:"FILE" help:"The file to write, or a folder in which it gets a name of its own. Best on another disk."`
	Recipients     []string `sep:"none" placeholder:"age1…" help:"Encrypt it for this key: an age1… key or the line of an SSH public key. May be given several times; each can open it."`
	RecipientsFile []string `type:"existingfile" placeholder:"FILE" help:"Encrypt it for the keys in this file, one a line."`
	WithSeries     bool     `help:"Take the time series along. They are for charts; the ledger has what is settled, and the meters' counts."`
	Replace        bool     `help:"Overwrite FILE if it is there."`
	JSON           bool     `help:"Print what was made as JSON."`
}

// Help is shown by allmende backup --help.
func (c *backupMakeCmd) Help() string {
	return `Copies the ledger database as it is at this moment, checks the copy, packs it
with the configuration, the community's files and its secret keys into one file,
and reads that file back before it says that it is done.

The file holds secret keys. Encrypt it, unless the disk that it is on lies in a
safe:

  allmende backup key                        # once; the second line goes on paper
  allmende backup --dir our-street --to /media/stick --recipients age1…
  allmende restore /media/stick/allmende-our-street-….tar.gz.age --to again --identity KEYFILE`
}

// Run makes the backup.
func (c *backupMakeCmd) Run(ctx context.Context, out *output) error {
	to, err := recipients(c.Recipients, c.RecipientsFile)
	if err != nil {
		return err
	}
	bar := newStages(out)
	r, err := backup.Create(ctx, backup.Options{
		Dir: c.Dir, Recipients: to, Series: c.WithSeries, Replace: c.Replace,
		Program: buildInformation().String(), Now: time.Now(), Progress: bar.show,
	}, c.To)
	bar.clear()
	if err != nil {
		return err
	}
	if c.JSON {
		return out.JSON(r)
	}
	for _, remark := range r.Remarks {
		out.Remark("%s\n", remark)
	}
	out.Printf("%s\n", r.File)
	out.Remark("%s, %d leaves of the ledger, %d files; it was read back and is sound.\n", size(r.Bytes), r.Manifest.Ledger.Leaves, len(r.Manifest.Files))
	if !r.Encrypted {
		out.Remark("It is NOT ENCRYPTED and holds the community's secret keys: lock it away, or pass --recipients (allmende backup key).\n")
	}
	return nil
}

func recipients(keys, files []string) (backup.Recipients, error) {
	var to backup.Recipients
	for _, k := range keys {
		r, err := backup.ParseRecipient(k)
		if err != nil {
			return nil, fmt.Errorf("--recipients: %w", err)
		}
		to = append(to, r)
	}
	for _, f := range files {
		more, err := backup.ReadRecipients(f)
		if err != nil {
			return nil, fmt.Errorf("--recipients-file: %w", err)
		}
		to = append(to, more...)
	}
	return to, nil
}

// size is a number of bytes for people.
func size(bytes int64) string {
	switch {
	case bytes < 10<<10:
		return fmt.Sprintf("%d bytes", bytes)
	case bytes < 10<<20:
		return fmt.Sprintf("%d KiB", bytes>>10)
	default:
		return fmt.Sprintf("%d MiB", bytes>>20)
	}
}

type backupKeyCmd struct {
	JSON bool `help:"Print as JSON."`
}

// Help is shown by allmende backup key --help.
func (c *backupKeyCmd) Help() string {
	return `Makes a pair of keys of the age program (https://age-encryption.org) and keeps
neither. Backups are made for the first. Only the second opens them: write it on
paper, twice, and keep the papers where a fire does not reach both. Without it
an encrypted backup is lost for good.`
}

// Run makes a pair of keys.
func (c *backupKeyCmd) Run(out *output) error {
	key, err := backup.NewKey()
	if err != nil {
		return err
	}
	if c.JSON {
		return out.JSON(key)
	}
	out.Printf("Make backups for:  %s\n", key.Recipient)
	out.Printf("Open them with:    %s\n", key.Identity)
	out.Remark("The first line may stay on this computer: allmende backup --recipients …\nWrite the second on paper, twice, and keep it nowhere else. Without it no backup can be opened.\n")
	return nil
}

// restoreCmd makes a community's folder of a backup.
type restoreCmd struct {
	File     string `arg:"" type:"existingfile" help:"The backup."`
	To       string `required:"" type:"path" placeholder:"DIR" help:"The folder that the community gets: a new or an empty one."`
	Identity string `type:"existingfile" placeholder:"KEYFILE" help:"File with the key that opens the backup: the line AGE-SECRET-KEY-1…, or an SSH private key."`
	Database string `placeholder:"URL" help:"Put the ledger into this empty database on a PostgreSQL server instead of a file: postgres://user@host/name. A community moves from one to the other this way."`
	DryRun   bool   `help:"Check everything and leave nothing behind: a rehearsal."`
	JSON     bool   `help:"Print what came back as JSON."`
}

// Help is shown by allmende restore --help.
func (c *restoreCmd) Help() string {
	return `Checks a backup from the first byte to the last, verifies the ledger in it as a
member would, and only then makes the folder. It works on any computer.

What was measured since the backup comes back by itself: the gateways keep their
counts for 40 days and send again what this ledger lacks.

Rehearse it once a quarter:

  allmende restore backup.tar.gz.age --to /tmp/rehearsal --identity KEYFILE --dry-run`
}

// Run restores.
func (c *restoreCmd) Run(ctx context.Context, out *output) error {
	o := backup.RestoreOptions{To: c.To, DryRun: c.DryRun, Database: c.Database}
	if c.Identity != "" {
		var err error
		if o.Identities, err = backup.ReadIdentities(c.Identity); err != nil {
			return fmt.Errorf("--identity: %w", err)
		}
	}
	bar := newStages(out)
	o.Progress = bar.show
	r, err := backup.Restore(ctx, c.File, o)
	bar.clear()
	if err != nil {
		return err
	}
	if c.JSON {
		return out.JSON(r)
	}
	for _, remark := range r.Remarks {
		out.Remark("%s\n", remark)
	}
	m := r.Manifest
	out.Printf("%s (%s), as it was on %s: %d leaves, everything holds.\n", m.Community.Name, m.Community.ID, m.Created.Format(time.RFC1123), m.Ledger.Leaves)
	if r.DryRun {
		out.Printf("This was a rehearsal; nothing was written to %s.\n", r.Folder)
		return nil
	}
	c.next(out, r)
	return nil
}

func (c *restoreCmd) next(out *output, r backup.Restored) {
	owner := ""
	if os.Getuid() == 0 {
		owner = "\n  0. Its files belong to root now. Give them to the user that the coordinator\n     runs as, for example: chown -R allmende: " + r.Folder
	}
	out.Printf(`It is in %[1]s. Next:%[2]s
  1. See that the old coordinator does not run any more, anywhere: there must be
     one. Gateways find the new one where gateways.address in allmende.yaml says.
  2. Start it: allmende serve --dir %[1]s
     Gateways connect by themselves and send what was measured since the backup.
  3. Check: allmende doctor --dir %[1]s; allmende ledger verify %[1]s
     Members who hold a later checkpoint can see whether it leads on from there.
  4. Do again what was decided since the backup: members, devices and accounts
     that were added, changed or erased, certificates and tokens that were
     revoked. Everybody has to sign in anew; open invitations have ended.
`, r.Folder, owner)
}

// stages is a progress bar for work of several stages.
type stages struct {
	bar *progress
	out *output
}

func newStages(out *output) *stages { return &stages{out: out} }

func (s *stages) show(stage string, done, total int64) {
	if s.bar == nil || s.bar.title != stage {
		s.clear()
		s.bar = newProgress(s.out, stage)
	}
	s.bar.show(done, total)
}

func (s *stages) clear() {
	if s.bar != nil {
		s.bar.clear()
	}
}

// SPDX-License-Identifier: AGPL-3.0-or-later

// Command allmende is the whole of Allmende in one binary: coordinator,
// gateway, simulator and the tools of a co-operative. Run it without arguments
// for the list of commands.
package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

const about = `Allmende: a coordinator for energy commons.

Neighbours produce electricity, share it by rules that they set themselves, and
can verify every kilowatt-hour. Start with "allmende demo".`

// commands are all there are, in the order of the help.
type commands struct {
	Demo    demoCmd    `cmd:"" help:"Run a whole simulated community on this computer and show its page."`
	Init    initCmd    `cmd:"" help:"Write the files of a new community into a folder."`
	Serve   serveCmd   `cmd:"" help:"Run the coordinator of a community."`
	Config  configCmd  `cmd:"" help:"Explain, show and check the configuration of a coordinator."`
	Gateway gatewayCmd `cmd:"" help:"Run a gateway, or enrol it with its coordinator."`
	registerCommands
	Live     liveCmd     `cmd:"" help:"Show the present: production, shares, gateways."`
	Charter  charterCmd  `cmd:"" help:"Check, hash or explain a charter."`
	People   peopleCmd   `cmd:"" help:"Look after accounts: the setup link, invitations, roles."`
	Token    tokenCmd    `cmd:"" help:"Look after the tokens of programs."`
	Audit    auditCmd    `cmd:"" help:"Show what was refused, and what was changed."`
	Ledger   ledgerCmd   `cmd:"" help:"Verify a community's ledger."`
	Backup   backupCmd   `cmd:"" help:"Put everything that brings the community back into one file."`
	Restore  restoreCmd  `cmd:"" help:"Make a community of a backup again."`
	Doctor   doctorCmd   `cmd:"" help:"Look at everything and say what is wrong and how to mend it."`
	Replay   replayCmd   `cmd:"" help:"Run recorded intervals through the scheduler: what would this charter have done?"`
	Allocate allocateCmd `cmd:"" help:"Share one interval by a scheme: JSON in, JSON out."`
	WhatIf   whatIfCmd   `cmd:"" name:"whatif" help:"Settle recorded intervals under another charter and say what would change for whom."`
	Why      whyCmd      `cmd:"" help:"Tell a member how her share of an interval came about."`
	Sim      simCmd      `cmd:"" help:"Serve a simulated site over Modbus TCP."`
	Version  versionCmd  `cmd:"" help:"Print the version and how the binary was built."`
	Manual   manualCmd   `cmd:"" hidden:"" help:"Print the manual page, or the completion for bash."`
}

// errReported is returned by a command that has said itself what is wrong.
var errReported = errors.New("reported")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], standardOutput()))
}

// run is main without the process: tests start the program the same way.
func run(ctx context.Context, args []string, out *output) (code int) {
	var cmds commands
	exit := -1
	parser, err := kong.New(&cmds,
		kong.Name("allmende"), kong.Description(about), kong.UsageOnError(),
		kong.Writers(out.Out, out.Err), kong.Exit(func(c int) { exit = c }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
		kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(out),
	)
	if err != nil {
		out.Remark("allmende: %v\n", err)
		return 2
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	kctx, err := parser.Parse(args)
	if exit >= 0 { // --help answered
		return exit
	}
	if err != nil {
		out.Remark("allmende: %v\nRun \"allmende --help\" for the commands, or \"allmende COMMAND --help\" for one of them.\n", err)
		return 2
	}
	if err := kctx.Run(); err != nil {
		if !errors.Is(err, errReported) {
			out.Remark("allmende %s: %v\n", commandName(kctx.Command()), err)
		}
		return 1
	}
	return 0
}

// commandName is what somebody typed, without the names of its arguments.
func commandName(command string) string {
	name, _, _ := strings.Cut(command, " <")
	return name
}

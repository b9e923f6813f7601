// SPDX-License-Identifier: AGPL-3.0-or-later

package config

import (
	_ "embed"
	"strconv"
	"strings"

	"github.com/allmende-energy/allmende/commons/roll"
)

var (
	//go:embed examples/community.yaml
	exampleCommunity string
	//go:embed examples/empty.yaml
	emptyCommunity string
)

// ExampleServe is a commented allmende.yaml with the defaults.
func ExampleServe() []byte {
	return Settings(&Serve{}).Example(`How this computer runs the coordinator of your community. A line behind one # shows the default, or an example where there is none; take the # away to change it. Paths start at this file's folder.

    allmende serve --dir .             runs it, and checks this file first
    allmende config explain KEY        says more about a line`)
}

// ExampleCommunity is a commented community.yaml of a few members, under the
// given id, name and time zone.
func ExampleCommunity(id roll.CommunityID, name, timezone string) []byte {
	return community(exampleCommunity, id, name, timezone)
}

// EmptyCommunity is a commented community.yaml whose members come later, from a
// spreadsheet: one connection, one gateway, and the community as its own member.
func EmptyCommunity(id roll.CommunityID, name, timezone string) []byte {
	return community(emptyCommunity, id, name, timezone)
}

func community(template string, id roll.CommunityID, name, timezone string) []byte {
	return []byte(strings.NewReplacer(
		"\nid: sunny-lane\n", "\nid: "+string(id)+"\n",
		`name: "Sunny Lane"`, "name: "+strconv.Quote(name),
		"timezone: Europe/Vienna ", "timezone: "+timezone+" ",
	).Replace(template))
}

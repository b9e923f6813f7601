// SPDX-License-Identifier: AGPL-3.0-or-later

package config

import (
	_ "embed"
	"strconv"
	"strings"

	"github.com/allmende-energy/allmende/commons/roll"
)

//go:embed examples/allmende.yaml
var exampleServe string

//go:embed examples/community.yaml
var exampleCommunity string

// ExampleServe is a commented allmende.yaml with the defaults.
func ExampleServe() []byte { return []byte(exampleServe) }

// ExampleCommunity is a commented community.yaml of a few members, under the
// given id, name and time zone.
func ExampleCommunity(id roll.CommunityID, name, timezone string) []byte {
	return []byte(strings.NewReplacer(
		"\nid: sunny-lane\n", "\nid: "+string(id)+"\n",
		`name: "Sunny Lane"`, "name: "+strconv.Quote(name),
		"timezone: Europe/Vienna ", "timezone: "+timezone+" ",
	).Replace(exampleCommunity))
}

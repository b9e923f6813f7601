// SPDX-License-Identifier: AGPL-3.0-or-later

package config

import "github.com/allmende-energy/allmende/internal/settings"

// folderPart is what a community's folder holds.
func folderPart(s *Serve) settings.Part {
	return settings.Part{
		Title: "Files",
		Intro: "The register (who takes part, with what), the rules, and where data is kept.",
		Keys: []settings.Key{
			{
				Name: "community", Value: settings.Path(&s.Community, s.Dir), Default: "community.yaml",
				Help: "The register: members, connections, sites, devices, gateways.",
			},
			{
				Name: "charter", Value: settings.Path(&s.Charter, s.Dir), Default: "charter.yaml",
				Help: "The rules by which the community shares. The first start puts them in force; from then on they change by decision only.",
			},
			{
				Name: "data", Value: settings.Path(&s.Data, s.Dir), Default: "data",
				Help: "The folder of the ledger: back it up, it is your community's memory. One coordinator at a time works in it. It must be on a local disk, as network file systems forget locks.",
			},
			{
				Name: "authority", Value: settings.Path(&s.Authority, s.Dir), Default: "authority",
				Help: "The folder of the keys that sign gateways' certificates: keep it to yourself, and back it up. Who has it can make gateways that your coordinator believes.",
			},
			{
				Name: "ledger_key", Value: settings.Path(&s.LedgerKey, s.Dir), Default: "ledger.key",
				Help: "The key that signs the ledger's head: keep it to yourself, and back it up. Members check the ledger against the public half, which stands beside it.",
			},
		},
	}
}

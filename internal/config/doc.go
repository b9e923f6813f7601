// SPDX-License-Identifier: AGPL-3.0-or-later

// Package config reads the files of a community's folder: allmende.yaml (how
// the coordinator runs) and community.yaml (the register: members, connections,
// sites, assets, gateways).
//
// Reading is strict: an unknown field, a wrong type or an implausible value is
// a problem that names file, line, field and remedy, and all of them are
// reported at once, before anything starts. Numbers are read from their text,
// so that no quantity passes through a float. Anchors, aliases, tags and merge
// keys are refused: a register that people check is written out.
package config

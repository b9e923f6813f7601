// SPDX-License-Identifier: AGPL-3.0-or-later

// Package settings reads configuration in layers: defaults, a YAML file,
// environment variables and flags, each over the one before.
//
// A setting is declared once, as data: a [Key] has its name, where its value
// goes and what may stand there, its default, and a paragraph for people. From
// that come the reading of all four layers, the file that a new folder begins
// with, the documentation, and what `allmende config` prints.
//
// Reading is strict, in every layer. A name that nobody declared is a problem,
// and so is a value that cannot be; each problem names the file and line, the
// variable or the flag it comes from, and all are reported at once. The layers
// are koanf's. The file is read by internal/strictyaml, which knows lines; see
// docs/adr.
package settings

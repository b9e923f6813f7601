// SPDX-License-Identifier: AGPL-3.0-or-later

package docs

import (
	"flag"
	"os"
	"testing"

	"github.com/allmende-energy/allmende/gateway"
	"github.com/allmende-energy/allmende/internal/config"
)

var update = flag.Bool("update", false, "write the generated parts of the documents") //nolint:gochecknoglobals // a flag of tests

const configurationHead = "# Configuration\n\n" +
	"<!-- Written by `go test ./docs -update` from the declarations in internal/config. -->\n\n" +
	"A coordinator reads `allmende.yaml` in its community's folder, which `allmende init` writes. Each setting\n" +
	"below can stand there, in an environment variable, or on the command line of `allmende serve` as\n" +
	"`--set key=value`. Where it stands in several places, flags go before the environment, the environment\n" +
	"before the file, and the file before the default. A list is written as `[a, b]` in the file and as `a,b`\n" +
	"elsewhere. Relative paths start at the folder.\n\n" +
	"Whatever is unknown or cannot be is an error that names file and line, variable or flag; the program\n" +
	"checks everything before it starts. That holds for every environment variable that begins with\n" +
	"`ALLMENDE_`.\n\n" +
	"```sh\n" +
	"allmende config explain http.listen   # what a setting is, what it is now, and where that comes from\n" +
	"allmende config show --dir DIR        # everything that is in force, secrets masked\n" +
	"allmende config check --dir DIR       # would it start?\n" +
	"```\n\n"

const gatewayHead = "\n# Configuration of a gateway\n\n" +
	"A gateway reads `gateway.yaml` in its folder, which `allmende gateway enrol` writes, in the same way; its\n" +
	"environment variables begin with `ALLMENDE_GW_`.\n\n" +
	"```sh\n" +
	"allmende config explain --gateway --dir DIR poll\n" +
	"```\n\n"

// TestConfigurationIsDocumented: configuration.md is made of what the program itself knows.
func TestConfigurationIsDocumented(t *testing.T) {
	var s config.Serve
	set := config.Settings(&s)
	if err := set.Validate(); err != nil {
		t.Fatal(err)
	}
	edge := gateway.Settings()
	if err := edge.Validate(); err != nil {
		t.Fatal(err)
	}
	want := configurationHead + set.Markdown() + gatewayHead + edge.Markdown()
	const file = "configuration.md"
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what the program says; run: go test ./docs -update", file)
	}
}

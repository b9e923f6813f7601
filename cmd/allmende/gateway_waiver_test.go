// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/allmende-energy/allmende/gateway"
)

// TestWaiverCommand: what the command prints is what a gateway takes, for this
// device and no other.
func TestWaiverCommand(t *testing.T) {
	var printed, remarks bytes.Buffer
	out := &output{Out: &printed, Err: &remarks}
	c := gatewayWaiverCmd{Asset: "battery-1", Operator: "Anna Berg", Serial: "7E17", Key: filepath.Join(t.TempDir(), "operator.key")}
	if err := c.Run(out); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(printed.String()), "\n")
	if len(lines) != 2 || !strings.Contains(remarks.String(), "I know that this device") {
		t.Fatalf("printed %q, %q", printed.String(), remarks.String())
	}
	yaml := lines[0] + "\ndevices:\n  - asset: ASSET\n    url: tcp://h:502\n    unit: 1\n    " + lines[1] + "\n"
	if _, err := gateway.Decode("gateway.yaml", []byte(strings.Replace(yaml, "ASSET", "battery-1", 1))); err != nil {
		t.Error(err)
	}
	_, err := gateway.Decode("gateway.yaml", []byte(strings.Replace(yaml, "ASSET", "battery-2", 1)))
	if err == nil || !strings.Contains(err.Error(), "signed for battery-1") {
		t.Errorf("for another device: %v", err)
	}
	printed.Reset()
	if err := c.Run(out); err != nil || !strings.HasPrefix(printed.String(), lines[0]) {
		t.Errorf("the key was not kept: %v, %s", err, printed.String())
	}
	c.Operator = ""
	if err := c.Run(out); err == nil {
		t.Error("nobody signed")
	}
}

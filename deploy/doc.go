// SPDX-License-Identifier: AGPL-3.0-or-later

// Package deploy holds what brings the program to a computer: systemd units,
// the Debian packages' scripts, the container's recipe. There is no Go code in
// it but tests: they measure how hard the units are, install the packages for
// real in a machine that is thrown away, and boot the services in it.
package deploy

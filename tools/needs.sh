#!/usr/bin/env bash
# SPDX-License-Identifier: AGPL-3.0-or-later
#
# needs.sh says what the tests need beyond Go, and installs with apt-get what is
# missing. Building and running the program needs none of it.
set -euo pipefail
retry=$(dirname "$0")/retry.sh

missing=()
need() { # need PACKAGE WHY COMMAND...: the Debian package is missing unless the command succeeds
	local package=$1 why=$2
	shift 2
	if "$@" >/dev/null 2>&1; then
		printf '  %-22s there     %s\n' "$package" "$why"
	else
		printf '  %-22s missing   %s\n' "$package" "$why"
		missing+=("$package")
	fi
}
have() { command -v "$1"; }
compiler() { have "$(go env CC)" || have gcc; }

echo "beyond Go the tests need:"
need gcc "the race detector links with it" compiler
need libc6-dev "the race detector links with it" test -e /usr/include/stdlib.h
need nodejs "the page's tests and build" have node
need npm "the page's tests and build" have npm
need chromium "the page in a real browser" have chromium
need postgresql "the store on a real server" compgen -G '/usr/lib/postgresql/*/bin/initdb'
need strace "disks that fail" have strace
need mbpoll "an independent Modbus client" have mbpoll
need python3-pymodbus "another independent Modbus client" /usr/bin/python3 -c 'import pymodbus'
need python3-serial-asyncio "pymodbus's client imports it, its package does not ask for it" /usr/bin/python3 -c 'import serial_asyncio'
need qemu-user "programs for ARM run" have qemu-arm
need lintian "Debian's rules for packages" have lintian
need systemd "how hard the services are held" have systemd-analyze

if [ ${#missing[@]} -gt 0 ]; then
	as_root=()
	if [ "$(id -u)" -ne 0 ]; then
		as_root=(sudo -n)
	fi
	if ! command -v apt-get >/dev/null || ! "${as_root[@]}" true 2>/dev/null; then
		echo "install these packages and run again: ${missing[*]}" >&2
		exit 1
	fi
	echo "installing by apt-get: ${missing[*]}"
	export DEBIAN_FRONTEND=noninteractive
	"$retry" "${as_root[@]}" apt-get update -qq
	"$retry" "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

if ! node -e 'const [a,b]=process.versions.node.split(".").map(Number); process.exit(a>20||a==20&&b>=19?0:1)'; then
	echo "Node.js $(node --version) is too old for the page's tools; install 20.19 or newer" >&2
	exit 1
fi

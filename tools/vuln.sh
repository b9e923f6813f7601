#!/usr/bin/env bash
# SPDX-License-Identifier: AGPL-3.0-or-later
#
# vuln.sh GOVULNCHECK asks the Go project's database for known weaknesses in what
# the program calls. A finding fails. Where the database cannot be reached
# nothing was checked: that is said loudly and noted in .cache/not-checked, but
# is no reason to stop. VULNDB names a mirror.
set -euo pipefail
cd "$(dirname "$0")/.."
note=.cache/not-checked
mkdir -p .cache
rm -f "$note"

code=0
said=$("$1" ${VULNDB:+-db "$VULNDB"} ./... 2>&1) || code=$?
printf '%s\n' "$said"
case $code in
0) echo "no known weakness is in what the program calls" ;;
3)
	echo "known weaknesses, see above: take a newer version of the module that is named" >&2
	exit 1
	;;
*)
	# Only this one is the network's fault; a tree that does not compile is ours.
	if ! grep -q '^govulncheck: fetching vulnerabilities' <<<"$said"; then
		exit 1
	fi
	echo "known weaknesses were NOT CHECKED: the database of govulncheck cannot be reached" >"$note"
	printf '\n%s\n%s\n%s\n' "$(printf '!%.0s' {1..88})" "!!! $(cat "$note")" "$(printf '!%.0s' {1..88})" >&2
	;;
esac

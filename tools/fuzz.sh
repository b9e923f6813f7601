#!/usr/bin/env bash
# SPDX-License-Identifier: AGPL-3.0-or-later
#
# fuzz.sh TIME runs each fuzz target of the tree for that long, one after another.
set -euo pipefail
found=0
while IFS=: read -r file target; do
	found=$((found + 1))
	echo "== $(dirname "$file") $target"
	go test -run '^$' -fuzz "^$target\$" -fuzztime "$1" "./$(dirname "$file")" </dev/null
done < <(git grep --untracked -oE '^func Fuzz[A-Za-z0-9_]+' -- '*_test.go' | sed 's/:func /:/')
if [ "$found" -eq 0 ]; then
	echo "no fuzz targets found: looked in the wrong place" >&2
	exit 1
fi

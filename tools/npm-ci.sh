#!/usr/bin/env bash
# SPDX-License-Identifier: AGPL-3.0-or-later
#
# npm-ci.sh FOLDER installs exactly what the folder's package-lock.json names,
# and nothing when that has been done. No package's install script runs.
set -euo pipefail
retry=$(cd "$(dirname "$0")" && pwd)/retry.sh
cd "$1"
stamp=node_modules/.installed-from
if cmp -s package-lock.json "$stamp"; then
	exit 0
fi
if ! command -v npm >/dev/null; then
	echo "npm is missing; run make needs, or install Node.js 20.19 or newer" >&2
	exit 1
fi
echo "installing npm packages in $1"
"$retry" npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
cp package-lock.json "$stamp"

#!/usr/bin/env bash
# SPDX-License-Identifier: AGPL-3.0-or-later
#
# promtool.sh TARGET puts Prometheus' own checking tool at TARGET: the one that is
# installed, or the one of Debian's package, taken out of it. The package itself is
# not installed, as that would start a server.
set -euo pipefail
retry=$(cd "$(dirname "$0")" && pwd)/retry.sh
target=$1
mkdir -p "$(dirname "$target")"
if have=$(command -v promtool); then
	ln -sf "$have" "$target"
	exit 0
fi
target=$(cd "$(dirname "$target")" && pwd)/$(basename "$target")
into=$(mktemp -d)
trap 'rm -rf "$into"' EXIT
cd "$into"
if ! apt-get download -qq prometheus >/dev/null 2>&1; then
	as_root=()
	if [ "$(id -u)" -ne 0 ]; then
		as_root=(sudo -n)
	fi
	"$retry" "${as_root[@]}" apt-get update -qq
	"$retry" apt-get download -qq prometheus >/dev/null
fi
echo "taking promtool out of Debian's package of Prometheus"
dpkg-deb -x prometheus_*.deb package
mv package/usr/bin/promtool "$target"

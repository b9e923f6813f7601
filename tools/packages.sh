#!/usr/bin/env bash
# SPDX-License-Identifier: AGPL-3.0-or-later
#
# packages.sh NFPM OUT builds the program for each kind of computer, and the
# Debian packages, into OUT. The same commit gives the same bytes: no path, no
# clock and no C compiler takes part. ARCHES="amd64" builds fewer.
set -euo pipefail
umask 022
cd "$(dirname "$0")/.."
nfpm=$1 out=$2
arches=${ARCHES:-amd64 arm64 armhf}

version=$(tools/version.sh)
DEBIAN_VERSION=$(tools/version.sh debian)
SOURCE_DATE_EPOCH=$(tools/version.sh epoch)
export DEBIAN_VERSION SOURCE_DATE_EPOCH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

build() { # build ARCH FILE: the program for a Debian architecture
	local goarm=
	case $1 in
	amd64 | arm64) goarch=$1 ;;
	armhf) goarch=arm goarm=7 ;;
	*)
		echo "packages.sh: no architecture $1; there are amd64, arm64 and armhf" >&2
		exit 2
		;;
	esac
	CGO_ENABLED=0 GOOS=linux GOARCH=$goarch GOARM=$goarm GOAMD64=v1 GOFLAGS= go build -trimpath -buildvcs=false \
		-ldflags "-s -w -buildid= $(tools/version.sh ldflags)" -o "$2" ./cmd/allmende
}

changelog() { # changelog PACKAGE: in Debian's form, of the one version that this is
	printf '%s (%s) unstable; urgency=medium\n\n  * What has changed stands in CHANGELOG.md.gz beside this file.\n\n -- %s  %s\n' \
		"$1" "$DEBIAN_VERSION" "The Allmende developers <packages@allmende.energy>" "$(TZ=UTC LC_ALL=C date -R -d "@$SOURCE_DATE_EPOCH")"
}

mkdir -p "$out" "$work/doc"
rm -f "$out"/allmende-linux-* "$out"/*.deb "$out/SHA256SUMS"
zip9() { gzip -9 -n -c; }
cp deploy/debian/copyright "$work/doc/"
cp README.md "$work/doc/"
zip9 <LICENSE >"$work/doc/LICENSE.gz"
zip9 <CHANGELOG.md >"$work/doc/CHANGELOG.md.gz"
# The program prints its own manual, so one is built for this computer first.
host=$(go env GOHOSTARCH)
host=${host/%arm/armhf}
build "$host" "$work/here"
go build -buildvcs=false -o "$work/inventory" ./tools/inventory
"$work/here" manual page | zip9 >"$work/allmende.1.gz"
"$work/here" manual completion >"$work/completion"

for arch in $arches; do
	stage=$work/$arch
	mkdir "$stage"
	cp -r "$work/doc" "$work/allmende.1.gz" "$work/completion" "$stage/"
	if [ "$arch" = "$host" ]; then
		cp "$work/here" "$stage/allmende"
	else
		build "$arch" "$stage/allmende"
	fi
	install -m 0755 "$stage/allmende" "$out/allmende-linux-$arch"
	"$work/inventory" -out "$stage/doc/sbom.json" -version "$version" -epoch "$SOURCE_DATE_EPOCH" "$stage/allmende" >/dev/null
	gzip -9 -n "$stage/doc/sbom.json"
	for package in allmende allmende-gateway; do
		changelog "$package" | zip9 >"$stage/changelog.gz"
		ARCH=$arch STAGE=$stage "$nfpm" package --packager deb --config "deploy/debian/$package.yaml" \
			--target "$out/${package}_${DEBIAN_VERSION}_$arch.deb" >/dev/null
	done
done
(cd "$out" && sha256sum allmende-linux-* ./*.deb | sed 's# \./# #' >SHA256SUMS)
echo "version $version in $out:"
sed 's/^/  /' "$out/SHA256SUMS"

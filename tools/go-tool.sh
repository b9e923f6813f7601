#!/usr/bin/env bash
# SPDX-License-Identifier: AGPL-3.0-or-later
#
# go-tool.sh TARGET PACKAGE VERSION puts a Go program at TARGET in exactly that
# version: a link if the machine has it already, otherwise freshly built.
set -euo pipefail
target=$1 package=$2 version=$3
name=$(basename "$package")
mkdir -p "$(dirname "$target")"

for have in "$(command -v "$name" || true)" "$(go env GOPATH)/bin/$name"; do
	if [ -x "$have" ] && go version -m "$have" 2>/dev/null | grep -qE "^[[:space:]]mod[[:space:]].*[[:space:]]$version([[:space:]]|$)"; then
		ln -sf "$have" "$target"
		exit 0
	fi
done

echo "installing $name $version"
into=$(mktemp -d)
trap 'rm -rf "$into"' EXIT
GOBIN=$into GOFLAGS= CGO_ENABLED=0 go install "$package@$version"
mv "$into/$name" "$target"

#!/usr/bin/env bash
# SPDX-License-Identifier: AGPL-3.0-or-later
#
# go-tool.sh TARGET PACKAGE VERSION [TAGS] puts a Go program at TARGET in exactly
# that version: a link if the machine has it already, otherwise freshly built. One
# with build tags is always built, because a program does not tell which it has.
set -euo pipefail
retry=$(dirname "$0")/retry.sh
target=$1 package=$2 version=$3 tags=${4:-}
name=$(basename "$package")
mkdir -p "$(dirname "$target")"

for have in "$(command -v "$name" || true)" "$(go env GOPATH)/bin/$name"; do
	if [ -z "$tags" ] && [ -x "$have" ] && go version -m "$have" 2>/dev/null | grep -qE "^[[:space:]]mod[[:space:]].*[[:space:]]$version([[:space:]]|$)"; then
		ln -sf "$have" "$target"
		exit 0
	fi
done

echo "installing $name $version"
into=$(mktemp -d)
trap 'rm -rf "$into"' EXIT
GOBIN=$into GOFLAGS= CGO_ENABLED=0 "$retry" go install -tags "$tags" "$package@$version"
mv "$into/$name" "$target"

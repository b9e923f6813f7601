#!/usr/bin/env bash
# SPDX-License-Identifier: AGPL-3.0-or-later
#
# version.sh says which version the working tree is, in the way that Go writes
# versions:
#   version.sh          v1.2.0 on a tag, otherwise v1.2.1-0.DATE-REVISION, or
#                       v0.0.0-DATE-REVISION before the first tag; "+dirty" with
#                       changes that are not committed
#   version.sh debian   the same as Debian orders it: 1.2.1~0.DATE.REVISION
#   version.sh epoch    when the last commit was made, in seconds since 1970
#   version.sh ldflags  what the linker writes into the program
# Without git, as in an unpacked archive, VERSION in the environment is taken.
set -euo pipefail
cd "$(dirname "$0")/.."

version=${VERSION:-} revision=unknown modified=false epoch=${SOURCE_DATE_EPOCH:-}
if git rev-parse --verify -q HEAD >/dev/null 2>&1; then
	revision=$(git rev-parse HEAD)
	[ -z "$(git status --porcelain)" ] || modified=true
	epoch=${epoch:-$(git log -1 --format=%ct)}
	if [ -z "$version" ]; then
		stamp=$(TZ=UTC git log -1 --format=%cd --date=format-local:%Y%m%d%H%M%S)-${revision:0:12}
		tag=$(git describe --tags --abbrev=0 --match 'v[0-9]*.[0-9]*.[0-9]*' 2>/dev/null || true)
		if [ -z "$tag" ]; then
			version=v0.0.0-$stamp
		elif [ "$(git rev-parse "$tag^{commit}")" = "$revision" ]; then
			version=$tag
		elif [[ $tag == *-* ]]; then # after a pre-release
			version=$tag.0.$stamp
		else
			version=${tag%.*}.$((${tag##*.} + 1))-0.$stamp
		fi
		[ $modified = false ] || version+=+dirty
	fi
fi
version=${version:-v0.0.0-unknown}

case ${1:-} in
"") echo "$version" ;;
debian) # "~" sorts before everything: a pre-release before its release
	plain=${version#v}
	case $plain in
	*-*) rest=${plain#*-} plain=${plain%%-*}~${rest//-/.} ;;
	esac
	echo "$plain"
	;;
epoch) echo "${epoch:-0}" ;;
ldflags) echo "-X main.stampVersion=$version -X main.stampRevision=$revision -X main.stampModified=$modified -X main.stampEpoch=${epoch:-0}" ;;
*)
	echo "version.sh: no word $1; see the head of the file" >&2
	exit 2
	;;
esac

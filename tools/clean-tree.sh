#!/usr/bin/env bash
# SPDX-License-Identifier: AGPL-3.0-or-later
#
# clean-tree.sh fails when generated files differ from the committed ones.
set -euo pipefail
dirty=$(git status --porcelain)
if [ -n "$dirty" ]; then
	echo "the tree is not clean after generating and rebuilding; look at the difference and commit it:" >&2
	echo "$dirty" >&2
	git --no-pager diff --stat >&2
	exit 1
fi
echo "the tree is clean"

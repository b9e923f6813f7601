#!/usr/bin/env bash
# SPDX-License-Identifier: AGPL-3.0-or-later
#
# retry.sh COMMAND... runs what fetches from the network, up to four times: a
# server that does not answer for a moment shall not turn a change red.
set -uo pipefail
for pause in 5 20 60 none; do
	"$@" && exit 0
	code=$?
	if [ "$pause" != none ]; then
		echo "failed with $code, once more in $pause s: $*" >&2
		sleep "$pause"
	fi
done
exit "$code"

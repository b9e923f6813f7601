#!/usr/bin/env bash
# SPDX-License-Identifier: AGPL-3.0-or-later
#
# e2e.sh runs the page's browser tests against a demo of its own and against a
# community where nobody has an account yet, stops both as Ctrl-C would, and
# verifies the ledger that the demo left.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=$(mktemp -d)
log=$folder/demo.log
demo=
street=
finish() {
	local code=$?
	for running in $demo $street; do
		if kill -0 "$running" 2>/dev/null; then
			kill -INT "$running"
			wait "$running" || true
		fi
	done
	if [ $code -ne 0 ]; then
		for said in "$log" "$folder/street.log"; do
			if [ -s "$said" ]; then
				echo "--- the last of $(basename "$said")" >&2
				tail -n 40 "$said" >&2
			fi
		done
	fi
	rm -rf "$folder"
	exit $code
}
trap finish EXIT

said() { # said PROGRAM FILE PATTERN: waits until the running program has printed the group of the pattern
	local tries=0 found=
	until found=$(sed -nE "s|.*$3.*|\1|p" "$2" | head -n 1) && [ -n "$found" ]; do
		tries=$((tries + 1))
		if [ $tries -ge 600 ] || ! kill -0 "$1" 2>/dev/null; then
			echo "waited for $3 in $(basename "$2")" >&2
			exit 1
		fi
		sleep 0.5
	done
	echo "$found"
}
bin/allmende demo --dir "$folder/village" --http 127.0.0.1:0 --grpc 127.0.0.1:0 --gateways 127.0.0.1:0 >"$log" 2>&1 &
demo=$!
url=$(said "$demo" "$log" 'Look here: +(http://[0-9.:]+)')

# Passkeys need a name in the address, so this one is called localhost.
bin/allmende init "$folder/street" --yes >/dev/null
cat >"$folder/street/charter.yaml" <<'END'
charter: allmende/1
name: Equal shares, and a market for what is left
rules_version: 2
currency: EUR
interval: 15m
settle_after: 24h
price: 12 ct/kWh EUR
sharing:
  exporting_sites: receive
  rounds: [{name: everyone, method: equal}]
  market: {lowest: 5 ct/kWh EUR, highest: 30 ct/kWh EUR}
residual: {by: equal}
storage: {use: shared}
END
bin/allmende serve --dir "$folder/street" --http 127.0.0.1:0 --set grpc.listen=127.0.0.1:0 --set gateways.listen=127.0.0.1:0 >"$folder/street.log" 2>&1 &
street=$!
tries=0
until setup=$(bin/allmende people setup-link --dir "$folder/street" 2>/dev/null); do
	tries=$((tries + 1))
	if [ $tries -ge 600 ] || ! kill -0 "$street" 2>/dev/null; then
		echo "the coordinator of the street did not come up" >&2
		exit 1
	fi
	sleep 0.5
done

street_port=$(said "$street" "$folder/street.log" 'page and REST +http://127\.0\.0\.1:([0-9]+)')
(cd dashboards/web && ALLMENDE_URL=$url ALLMENDE_STREET=http://localhost:$street_port ALLMENDE_SETUP=$setup npm run --silent e2e)

kill -INT "$demo"
wait "$demo"
demo=
bin/allmende ledger verify "$folder/village"

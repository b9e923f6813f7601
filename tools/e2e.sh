#!/usr/bin/env bash
# SPDX-License-Identifier: AGPL-3.0-or-later
#
# e2e.sh runs the page's browser tests against a demo of its own, stops the demo
# as Ctrl-C would, and verifies the ledger that it left.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=$(mktemp -d)
log=$folder/demo.log
demo=
finish() {
	local code=$?
	if [ -n "$demo" ] && kill -0 "$demo" 2>/dev/null; then
		kill -INT "$demo"
		wait "$demo" || true
	fi
	if [ $code -ne 0 ] && [ -s "$log" ]; then
		echo "--- what the demo said last" >&2
		tail -n 40 "$log" >&2
	fi
	rm -rf "$folder"
	exit $code
}
trap finish EXIT

port=$(node -e 'const s=require("net").createServer().listen(0,"127.0.0.1",()=>{console.log(s.address().port);s.close()})')
url=http://127.0.0.1:$port
bin/allmende demo --dir "$folder/village" --http "127.0.0.1:$port" --grpc 127.0.0.1:0 --gateways 127.0.0.1:0 >"$log" 2>&1 &
demo=$!

answers() { # the program runs and its page answers
	kill -0 "$demo" && node -e 'fetch(process.argv[1]).then(r => process.exit(r.ok ? 0 : 1), () => process.exit(1))' "$url/v1/live"
}
tries=0
until answers; do
	tries=$((tries + 1))
	if [ $tries -ge 120 ] || ! kill -0 "$demo" 2>/dev/null; then
		echo "the demo did not come up on $url" >&2
		exit 1
	fi
	sleep 0.5
done

(cd dashboards/web && ALLMENDE_URL=$url npm run --silent e2e)

kill -INT "$demo"
wait "$demo"
demo=
bin/allmende ledger verify "$folder/village"

// SPDX-License-Identifier: AGPL-3.0-or-later

package deploy

import (
	"strings"
	"testing"
)

// gatewayReads enrols a gateway on the same machine, gives it simulated devices,
// and waits until the coordinator has what it measured.
func gatewayReads(t *testing.T, m *machine) {
	t.Helper()
	m.run(t, `allmende sim --example >/tmp/site.yaml
sed -i 's/home-1-meter/anna-meter/; s/home-1-pv/anna-roof/; s/home-1-battery/anna-battery/; s/home-2-meter/ben-meter/' /tmp/site.yaml
systemd-run --quiet --unit=devices allmende sim --site /tmp/site.yaml`)
	m.run(t, `token=$(runuser -u allmende -- allmende gateway token gw-lane --dir /var/lib/allmende 2>/dev/null)
runuser -u allmende-gateway -- allmende gateway enrol "$token" --dir /var/lib/allmende-gateway
cat >/tmp/devices <<DEVICES
  - {asset: anna-roof, url: tcp://127.0.0.1:5020, unit: 1}
  - {asset: anna-meter, url: tcp://127.0.0.1:5020, unit: 2}
  - {asset: anna-battery, url: tcp://127.0.0.1:5020, unit: 3}
  - {asset: ben-meter, url: tcp://127.0.0.1:5020, unit: 4}
DEVICES
sed -i -e '/asset: roof-1,/r /tmp/devices' -e '/asset: roof-1,/d' /var/lib/allmende-gateway/gateway.yaml
systemctl start allmende-gateway`)
	held(t, m, "allmende-gateway")
	m.until(t, "test $(journalctl --no-pager -u allmende-gateway | grep -c 'device found') -ge 4")
	m.until(t, "journalctl --no-pager -u allmende | grep 'gateway connected'")
}

// serialPorts opens devices as the gateway's service may: with its unit, and a
// shell in the program's place. ttyS is the kind that each computer's kernel
// knows; the unit asks for the drivers of the others before it starts.
func serialPorts(t *testing.T, m *machine) {
	t.Helper()
	m.run(t, `sed -e 's#^ExecStart=.*#ExecStart=/bin/bash -c "for d in ttyS0 mem; do if : <>/dev/$$d; then echo $$d opens; else echo $$d is closed; fi; done"#' \
	-e 's/^Type=.*/Type=oneshot/' -e '/^Restart=/d' -e '/^Watchdog/d' -e '/^Condition/d' /usr/lib/systemd/system/allmende-gateway.service >/etc/systemd/system/ports.service
systemctl daemon-reload && systemctl start ports`)
	said := m.run(t, "journalctl --no-pager -o cat -t bash -u ports")
	if !strings.Contains(said, "ttyS0 opens") || !strings.Contains(said, "mem is closed") {
		t.Errorf("the gateway's service may open serial ports and no other device; with its unit\n%s", said)
	}
}

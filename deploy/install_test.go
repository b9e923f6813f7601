// SPDX-License-Identifier: AGPL-3.0-or-later

package deploy

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// prepare lays the packages into one folder under plain names: as they are, and
// again as an older version, so that there is something to upgrade from.
func prepare(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"allmende", "allmende-gateway"} {
		b, err := os.ReadFile(pack(t, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name+".deb"), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	script := `cd "$0"
for name in allmende allmende-gateway; do
	dpkg-deb -R $name.deb old
	sed -i 's/^Version: .*/Version: 0.0.0~0/' old/DEBIAN/control
	dpkg-deb -b -Znone old $name-old.deb
	rm -r old
done`
	if said, err := exec.CommandContext(t.Context(), "bash", "-euc", script, dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	return dir
}

// The life of a coordinator's computer: install, found a community, run it under
// everything that its unit forbids, upgrade, remove, purge.
func TestWholeLivesOnAComputer(t *testing.T) {
	m := boot(t, prepare(t))
	m.run(t, "dpkg -i /packages/allmende-old.deb")
	installed(t, m)
	m.run(t, "runuser -u allmende -- allmende init /var/lib/allmende --yes")
	m.run(t, "printf sesame >/etc/allmende/credentials/influxdb && chmod 0600 /etc/allmende/credentials/influxdb")
	// Type=notify: start returns when the coordinator says that it is ready.
	m.run(t, "systemctl start allmende")
	held(t, m, "allmende")
	m.expect(t, "ls /run/credentials/allmende.service", "secret_influxdb")
	gatewayReads(t, m)

	before := m.pid(t, "allmende")
	m.run(t, "systemctl reload allmende allmende-gateway")
	if m.pid(t, "allmende") != before {
		t.Error("a reload restarted the coordinator")
	}
	comesBack(t, m)

	t.Log("upgrade")
	before = m.pid(t, "allmende")
	was := folder(t, m)
	m.run(t, "echo '# mine' >>/etc/allmende/allmende.env")
	upgraded := m.run(t, "date +%s")
	m.run(t, "dpkg -i --force-confold /packages/allmende.deb")
	m.expect(t, "systemctl is-active allmende allmende-gateway", "active\nactive")
	if after := m.pid(t, "allmende"); after == before {
		t.Error("the upgrade left the old program running")
	}
	if is := folder(t, m); is != was {
		t.Errorf("the upgrade changed the folder from\n%s\nto\n%s", was, is)
	}
	m.expect(t, "tail -n 1 /etc/allmende/allmende.env", "# mine")
	m.until(t, "journalctl --no-pager -u allmende --since=@"+upgraded+" | grep 'gateway connected'")

	t.Log("what an administrator has switched off stays off")
	m.run(t, "systemctl disable --now allmende-gateway && dpkg -i --force-confold /packages/allmende.deb")
	m.expect(t, "systemctl is-enabled allmende-gateway || true", "disabled")
	m.expect(t, "systemctl is-active allmende-gateway || true", "inactive")

	t.Log("remove and purge")
	m.run(t, "systemctl stop devices && dpkg -r allmende")
	m.expect(t, "pgrep -x allmende || true", "")
	if is := folder(t, m); is != was {
		t.Errorf("removing changed the folder from\n%s\nto\n%s", was, is)
	}
	said := m.run(t, "dpkg -P allmende")
	for _, keeps := range []string{"/var/lib/allmende stays", "/var/lib/allmende-gateway stays"} {
		if !strings.Contains(said, keeps) {
			t.Errorf("purging says\n%s", said)
		}
	}
	if is := folder(t, m); is != was {
		t.Errorf("purging changed the folder from\n%s\nto\n%s", was, is)
	}
	m.expect(t, "ls -d /etc/allmende /usr/bin/allmende /usr/share/doc/allmende 2>/dev/null || true", "")
	m.expect(t, "ls /etc/systemd/system/*/allmende* 2>/dev/null || true", "")
	m.run(t, "getent passwd allmende && getent passwd allmende-gateway")

	t.Log("install again: the community goes on")
	m.run(t, "dpkg -i /packages/allmende.deb")
	m.expect(t, "systemctl is-active allmende", "active")
	m.run(t, "systemctl stop allmende && runuser -u allmende -- allmende ledger verify /var/lib/allmende")
}

// A gateway alone: install, become the whole, and never the other way round by
// accident.
func TestGatewayAloneBecomesTheWhole(t *testing.T) {
	m := boot(t, prepare(t))
	m.run(t, "dpkg -i /packages/allmende-gateway-old.deb && dpkg -i /packages/allmende-gateway.deb")
	m.expect(t, "ls /usr/lib/systemd/system/allmende*", "/usr/lib/systemd/system/allmende-gateway.service")
	m.expect(t, "stat -c '%U:%G %a' /var/lib/allmende-gateway", "allmende-gateway:allmende-gateway 750")
	m.run(t, "! getent passwd allmende")
	serialPorts(t, m)
	m.run(t, "runuser -u allmende-gateway -- touch /var/lib/allmende-gateway/spooled")

	m.run(t, "dpkg -i /packages/allmende.deb")
	m.expect(t, "dpkg-query -W -f '${db:Status-Status}' allmende-gateway || true", "config-files")
	m.run(t, "dpkg -P allmende-gateway")
	m.expect(t, "systemctl is-enabled allmende-gateway allmende", "enabled\nenabled")
	m.run(t, "test -e /var/lib/allmende-gateway/spooled && test -e /etc/allmende/gateway.env && test -d /etc/allmende/credentials")
	if said, err := m.try(t, "dpkg -i /packages/allmende-gateway.deb"); err == nil {
		t.Errorf("a gateway's package replaced the coordinator's:\n%s", said)
	}
}

// installed checks owners, modes, accounts and documents.
func installed(t *testing.T, m *machine) {
	t.Helper()
	m.expect(t, "dpkg --verify allmende", "")
	m.expect(t, "cd / && stat -c '%n %U:%G %a' etc/allmende etc/allmende/* usr/bin/allmende usr/lib/systemd/system/allmende* var/lib/allmende var/lib/allmende-gateway", strings.TrimSpace(`
etc/allmende root:root 755
etc/allmende/allmende.env root:root 644
etc/allmende/credentials root:root 700
etc/allmende/gateway.env root:root 644
usr/bin/allmende root:root 755
usr/lib/systemd/system/allmende-gateway.service root:root 644
usr/lib/systemd/system/allmende.service root:root 644
var/lib/allmende allmende:allmende 750
var/lib/allmende-gateway allmende-gateway:allmende-gateway 750`))
	m.expect(t, "find /usr/share/doc/allmende ! -user root -o -type f ! -perm 644 -o -type d ! -perm 755", "")
	m.expect(t, "getent passwd allmende allmende-gateway | cut -d: -f 1,6,7", "allmende:/var/lib/allmende:/usr/sbin/nologin\nallmende-gateway:/var/lib/allmende-gateway:/usr/sbin/nologin")
	m.expect(t, "systemctl is-enabled allmende allmende-gateway", "enabled\nenabled")
	m.expect(t, "systemctl is-active allmende allmende-gateway || true", "inactive\ninactive") // nothing is founded yet
	if said := m.run(t, "allmende version"); !strings.Contains(said, "revision") {
		t.Errorf("allmende version says %s", said)
	}
}

// held looks at the running process from outside: what the kernel forbids it.
func held(t *testing.T, m *machine, service string) {
	t.Helper()
	status := m.run(t, fmt.Sprintf("cat /proc/%d/status", m.pid(t, service)))
	for _, want := range []string{"NoNewPrivs:\t1", "Seccomp:\t2", "CapEff:\t0000000000000000", "CapBnd:\t0000000000000000"} {
		if !strings.Contains(status, want) {
			t.Errorf("%s runs without %q:\n%s", service, want, status)
		}
	}
}

// comesBack kills both services, and makes them hang: systemd notices either and
// starts them again. The times are shorter here than in the units.
func comesBack(t *testing.T, m *machine) {
	t.Helper()
	var killed string
	for _, service := range []string{"allmende", "allmende-gateway"} {
		m.run(t, fmt.Sprintf(`mkdir -p /run/systemd/system/%[1]s.service.d
printf '[Service]\nWatchdogSec=10s\nRestartSec=100ms\n' >/run/systemd/system/%[1]s.service.d/short.conf
systemctl daemon-reload && systemctl restart %[1]s`, service))
		for _, signal := range []string{"KILL", "STOP"} {
			pid := m.pid(t, service)
			killed = m.run(t, fmt.Sprintf("date +%%s; kill -%s %d", signal, pid))
			m.until(t, fmt.Sprintf("test $(systemctl show -P MainPID %[1]s) -gt 0 && test $(systemctl show -P MainPID %[1]s) != %[2]d && systemctl is-active %[1]s", service, pid))
		}
		m.run(t, fmt.Sprintf("journalctl --no-pager -u %[1]s | grep 'Watchdog timeout' && rm -r /run/systemd/system/%[1]s.service.d && systemctl daemon-reload", service))
	}
	m.until(t, "journalctl --no-pager -u allmende --since=@"+killed+" | grep 'gateway connected'")
}

// folder names everything in both folders, but what comes and goes with the process.
func folder(t *testing.T, m *machine) string {
	t.Helper()
	return m.run(t, `find /var/lib/allmende /var/lib/allmende-gateway ! -name '*-wal' ! -name '*-shm' ! -name '*.sock' -printf '%p %u %m\n' | sort`)
}

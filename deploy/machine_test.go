// SPDX-License-Identifier: AGPL-3.0-or-later

package deploy

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// packages is the folder that `make packages` has filled.
func packages(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("PACKAGES")
	if dir == "" {
		t.Skip("no packages to test: make test-packages builds them first")
	}
	return dir
}

// pack is the path of the amd64 package of that name.
func pack(t *testing.T, name string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(packages(t), name+"_*_amd64.deb"))
	if err != nil || len(found) != 1 {
		t.Fatalf("packages of %s in %s: %q, %v", name, packages(t), found, err)
	}
	return found[0]
}

// patience bounds a wait for what the machine does by itself.
const patience = 5 * time.Minute

// machine is a copy of this computer that runs systemd and is thrown away with
// the test; see machine.sh.
type machine struct {
	init string // the process that is its first
}

// boot starts a machine that finds the files of dir in /packages.
func boot(t *testing.T, dir string) *machine {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("booting a machine needs root; run as: sudo -E make test-packages")
	}
	group := cgroup(t)
	// The shell enters the group first, so that everything stays in it.
	cmd := exec.CommandContext(t.Context(), "sh", "-c", `echo $$ >"$0/cgroup.procs" && exec "$@"`, group,
		"unshare", "--mount", "--pid", "--fork", "--kill-child", "--net", "--cgroup", "--ipc", "--uts", "./machine.sh", dir)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // and with it all processes of the machine
		<-ended
		sweep(t, group)
	})
	m := &machine{}
	for begun := time.Now(); time.Since(begun) < patience; {
		if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", cmd.Process.Pid, cmd.Process.Pid)); err == nil {
			m.init = strings.TrimSpace(string(b))
		}
		if m.init != "" {
			if state, _ := m.try(t, "systemctl is-system-running || true"); strings.Contains(state, "running") {
				return m
			}
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("the machine did not boot: %v\n%s", err, said.String())
		case <-time.After(100 * time.Millisecond):
		}
	}
	state, _ := m.try(t, "systemctl list-jobs; systemctl --failed; journalctl --no-pager -n 50")
	t.Fatalf("the machine boots for too long\n%s\n%s", said.String(), state)
	return nil
}

// cgroup makes a group of its own in the unified hierarchy, wherever that is.
func cgroup(t *testing.T) string {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		f := strings.Fields(line)
		if len(f) < 3 || f[2] != "cgroup2" {
			continue
		}
		group := filepath.Join(f[1], fmt.Sprintf("allmende-test-%d-%s", os.Getpid(), t.Name()))
		if err := os.Mkdir(group, 0o755); err != nil {
			t.Skipf("no control group can be made here, so nothing boots: %v", err)
		}
		return group
	}
	t.Skip("there is no cgroup2 on this computer, so nothing boots")
	return ""
}

// sweep removes the groups that the machine made. Its processes are dead, but
// the kernel may still be at it.
func sweep(t *testing.T, group string) {
	t.Helper()
	var err error
	for range 600 {
		var groups []string
		_ = filepath.WalkDir(group, func(path string, d fs.DirEntry, _ error) error {
			if d != nil && d.IsDir() {
				groups = append(groups, path)
			}
			return nil
		})
		slices.Reverse(groups)
		for _, g := range groups {
			err = os.Remove(g)
		}
		if err == nil {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Errorf("the machine's control groups stay: %v", err)
}

// try runs a script in the machine as root.
func (m *machine) try(t *testing.T, script string) (string, error) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 2*patience)
	defer stop()
	cmd := exec.CommandContext(ctx, "nsenter", "--target", m.init, "--all", "--root", "--wd", "bash", "-euo", "pipefail", "-c", script)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "DEBIAN_FRONTEND=noninteractive", "HOME=/root"}
	b, err := cmd.CombinedOutput()
	return string(b), err
}

// run is try for a script that has to succeed.
func (m *machine) run(t *testing.T, script string) string {
	t.Helper()
	said, err := m.try(t, script)
	if err != nil {
		journal, _ := m.try(t, "journalctl --no-pager -n 40 | cut -c 1-300")
		t.Fatalf("%s\n%v\n%s\n--- the machine's journal\n%s", script, err, said, journal)
	}
	return strings.TrimSpace(said)
}

// until repeats a script until it succeeds, five minutes long.
func (m *machine) until(t *testing.T, script string) {
	t.Helper()
	m.run(t, fmt.Sprintf("for i in {1..1500}; do if ( %s ) >/dev/null 2>&1; then exit 0; fi; sleep 0.2; done; %s", script, script))
}

// expect compares what a script says.
func (m *machine) expect(t *testing.T, script, want string) {
	t.Helper()
	if got := m.run(t, script); got != want {
		t.Errorf("%s\nsays\n%s\nwant\n%s", script, got, want)
	}
}

// pid is the process of a service.
func (m *machine) pid(t *testing.T, service string) int {
	t.Helper()
	n, err := strconv.Atoi(m.run(t, "systemctl show -P MainPID "+service))
	if err != nil || n == 0 {
		t.Fatalf("%s has process %d, %v", service, n, err)
	}
	return n
}

// SPDX-License-Identifier: AGPL-3.0-or-later

package modbus

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	wire "github.com/simonvetter/modbus"
)

// This is `make bench-modbus`: Telegraf, a bare loop of the library, and a Bus,
// each in a process of its own, read the same devices from the same server at
// the same pace. The server is the test itself, so that its work is not counted.
// What is measured is the CPU time of each process, user and system, over the
// reads that the server answered meanwhile.

const (
	childVariable    = "MODBUS_BENCH_CHILD" // what this process is to be, empty: the test
	telegrafVariable = "MODBUS_BENCH_TELEGRAF"
	devicesCompared  = 20
	paceCompared     = 100 * time.Millisecond
	warmUp           = 4 * time.Second
	measured         = 20 * time.Second
	roundsCompared   = 3
	devicesMany      = 200
	passesMany       = 60
)

// benchChild is what a process of the comparison does; it does not return.
func benchChild(kind string) {
	address := os.Getenv("MODBUS_BENCH_ADDRESS")
	switch kind {
	case "bus":
		poll(devicesCompared, paceCompared, func() func() error { return busReader(address) })
	case "bare":
		poll(devicesCompared, paceCompared, func() func() error { return bareReader(address) })
	case "many":
		many(address)
	}
	os.Exit(1)
}

func busReader(address string) func() error {
	b := NewBus(Config{URL: "tcp://" + address, Timeout: 5 * time.Second})
	go func() { _ = b.Run(context.Background()) }()
	return func() error {
		_, err := b.ReadHolding(context.Background(), 1, 0, 60)
		return err
	}
}

func bareReader(address string) func() error {
	client, err := wire.NewClient(&wire.ClientConfiguration{URL: "tcp://" + address, Timeout: 5 * time.Second, Logger: log.New(io.Discard, "", 0)})
	if err == nil {
		err = client.Open()
	}
	if err != nil {
		panic(err)
	}
	return func() error {
		_, err := client.ReadRegisters(0, 60, wire.HOLDING_REGISTER)
		return err
	}
}

// poll reads from n devices at a pace, a goroutine each, for ever.
func poll(n int, pace time.Duration, open func() func() error) {
	for range n {
		read := open()
		go func() {
			for range time.Tick(pace) {
				if err := read(); err != nil {
					panic(err)
				}
			}
		}()
	}
	select {}
}

// many polls 200 devices each second and prints by how many microseconds the
// time between two answers of one device was off a second; and the same of
// goroutines that only sleep, which is what the computer does to anybody.
func many(address string) {
	begin := time.Now().Add(2 * time.Second)
	var group sync.WaitGroup
	var reading, sleeping jitter
	for i := range devicesMany + devicesMany/10 {
		work, into := func() error { return nil }, &sleeping
		if i < devicesMany {
			work, into = busReader(address), &reading
		}
		group.Go(func() {
			last := time.Time{}
			for pass := range passesMany {
				time.Sleep(time.Until(begin.Add(time.Duration(pass) * time.Second)))
				if err := work(); err != nil {
					panic(err)
				}
				last = into.add(last, time.Now())
			}
		})
	}
	group.Wait()
	fmt.Println(len(reading.off), reading.at(500), reading.at(990), reading.at(1000), sleeping.at(500), sleeping.at(990), sleeping.at(1000))
	os.Exit(0)
}

// jitter collects by how much passes are off a second.
type jitter struct {
	mu  sync.Mutex
	off []time.Duration
}

func (j *jitter) add(last, now time.Time) time.Time {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !last.IsZero() {
		j.off = append(j.off, (now.Sub(last) - time.Second).Abs())
	}
	return now
}

func (j *jitter) at(permille int) int64 {
	slices.Sort(j.off)
	return j.off[min(len(j.off)*permille/1000, len(j.off)-1)].Microseconds()
}

// counting is a server that counts what it answers.
func counting(t *testing.T) (address string, answered *atomic.Int64) {
	answered = new(atomic.Int64)
	return listen(t, func(conn net.Conn) {
		in, out := make([]byte, 12), make([]byte, 260)
		for {
			if _, err := io.ReadFull(conn, in); err != nil {
				return
			}
			n := 2 * int(in[11])
			copy(out, in[:8])
			binary.BigEndian.PutUint16(out[4:], uint16(3+n))
			out[8] = byte(n)
			if _, err := conn.Write(out[:9+n]); err != nil {
				return
			}
			answered.Add(1)
		}
	}), answered
}

// cpu is the user and system time of a process, from /proc.
func cpu(t *testing.T, pid int) time.Duration {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	ticks := 0
	for _, f := range fields[11:13] {
		n, err := strconv.Atoi(f)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / 100 // Linux tells hundredths
}

// resident is the memory of a process in KiB.
func resident(t *testing.T, pid int) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "VmRSS:")
	n, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func telegrafConfig(t *testing.T, address string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "[agent]\n interval = %q\n flush_interval = \"10s\"\n round_interval = false\n quiet = true\n metric_buffer_limit = 100000\n[[outputs.discard]]\n", paceCompared)
	for d := range devicesCompared {
		fmt.Fprintf(&b, "[[inputs.modbus]]\n name = \"d%d\"\n controller = \"tcp://%s\"\n slave_id = 1\n timeout = \"5s\"\n configuration_type = \"register\"\n holding_registers = [\n", d, address)
		for r := range 60 {
			fmt.Fprintf(&b, "  {name=\"r%d\", byte_order=\"AB\", data_type=\"UINT16\", scale=1.0, address=[%d]},\n", r, r)
		}
		b.WriteString(" ]\n")
	}
	file := filepath.Join(t.TempDir(), "telegraf.conf")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

type figures struct {
	perRead time.Duration
	memory  int // KiB
	reads   int64
}

func TestCompareWithTelegraf(t *testing.T) {
	telegraf := os.Getenv(telegrafVariable)
	if telegraf == "" {
		t.Skip("a comparison that takes minutes: make bench-modbus runs it")
	}
	address, answered := counting(t)
	self := func(kind string) *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), childVariable+"="+kind, "MODBUS_BENCH_ADDRESS="+address)
		return cmd
	}
	config := telegrafConfig(t, address)
	results := map[string][]figures{}
	kinds := []string{"telegraf", "bare", "bus"}
	for range roundsCompared {
		for _, kind := range kinds {
			cmd := self(kind)
			if kind == "telegraf" {
				cmd = exec.CommandContext(t.Context(), telegraf, "--config", config)
			}
			cmd.Stderr = os.Stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(warmUp)
			used, reads := cpu(t, cmd.Process.Pid), answered.Load()
			time.Sleep(measured)
			used, reads = cpu(t, cmd.Process.Pid)-used, answered.Load()-reads
			f := figures{memory: resident(t, cmd.Process.Pid), reads: reads}
			if reads > 0 {
				f.perRead = used / time.Duration(reads)
			}
			results[kind] = append(results[kind], f)
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			if want := int64(devicesCompared * (measured / paceCompared)); reads < want*9/10 {
				t.Logf("%s read %d times where %d were asked for: the computer has too much else to do", kind, reads, want)
			}
			load, _ := os.ReadFile("/proc/loadavg")
			t.Logf("%-8s %6d reads  %8s CPU a read  %6d KiB   load %s", kind, reads, f.perRead, f.memory, strings.TrimSpace(string(load)))
		}
	}
	median := map[string]figures{}
	for _, kind := range kinds {
		all := results[kind]
		slices.SortFunc(all, func(a, b figures) int { return int(a.perRead - b.perRead) })
		m := all[len(all)/2]
		slices.SortFunc(all, func(a, b figures) int { return a.memory - b.memory })
		m.memory = all[len(all)/2].memory
		median[kind] = m
		t.Logf("median %-8s %8s CPU a read, %6d KiB", kind, m.perRead, m.memory)
	}
	t.Logf("bus / telegraf %.2f (at most 0.5), bus / bare %.2f (at most 1.5), memory / telegraf %.2f (at most 1)",
		float64(median["bus"].perRead)/float64(median["telegraf"].perRead), float64(median["bus"].perRead)/float64(median["bare"].perRead),
		float64(median["bus"].memory)/float64(median["telegraf"].memory))

	out, err := self("many").Output()
	if err != nil {
		t.Fatal(err)
	}
	var n int
	var read, slept [3]int // median, p99, most
	if _, err := fmt.Sscan(string(out), &n, &read[0], &read[1], &read[2], &slept[0], &slept[1], &slept[2]); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d devices each second, %d cycles: time between two answers off by %d µs (median), %d µs (p99), %d µs (most)", devicesMany, n, read[0], read[1], read[2])
	t.Logf("goroutines that only sleep for a second: %d µs, %d µs, %d µs; %s, %d CPUs", slept[0], slept[1], slept[2], runtime.Version(), runtime.NumCPU())
}

// SPDX-License-Identifier: AGPL-3.0-or-later

// Package freeport finds addresses for servers of tests that cannot listen on
// port 0: those that are told their port in a file, and those that are killed and
// must come back where they were.
//
// A port that was free a moment ago may be somebody else's by now: another
// test's server, or any program's end of a connection. So each test process takes
// its ports on a loopback address of its own, where nobody else looks for one.
package freeport

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
)

// taken counts the ports that this process was given.
var taken atomic.Int32

// The ports lie below those that the kernel gives to whoever asks for none.
const (
	first = 10_000
	many  = 20_000
)

const plain = "127.0.0.1"

// Host is a loopback address that no other process of this computer uses. Where
// loopback is one address only, as on macOS, it is that one.
func Host() string {
	host := hostOf(os.Getpid())
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return plain
	}
	l.Close()
	return host
}

// hostOf is in 127.64.0.0/10, which has room for each process of Linux.
func hostOf(pid int) string {
	return fmt.Sprintf("127.%d.%d.%d", 64+pid>>16&63, pid>>8&255, pid&255)
}

// Address is a host and a port on which nobody listens, and which nobody else is given.
func Address(tb testing.TB) string {
	tb.Helper()
	host := Host()
	return net.JoinHostPort(host, strconv.Itoa(on(tb, host)))
}

// Port is one of 127.0.0.1, for a server that must be there. Test processes
// count from different ones.
func Port(tb testing.TB) int {
	tb.Helper()
	return on(tb, plain)
}

func on(tb testing.TB, host string) int {
	tb.Helper()
	for range many {
		port := first + (37*os.Getpid()+int(taken.Add(1)))%many
		l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
		if err != nil {
			continue
		}
		l.Close()
		return port
	}
	tb.Fatalf("no port of %s is free", host)
	return 0
}

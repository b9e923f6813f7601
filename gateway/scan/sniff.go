// SPDX-License-Identifier: AGPL-3.0-or-later

package scan

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"
)

// Bounds of a look at a port.
const (
	sniffWait  = 600 * time.Millisecond
	sniffBytes = 512
)

// Sniff says in words what listens at a TCP address, where it is no Modbus: an
// SSH server, a web server, TLS, or nothing at all. It is empty where it cannot
// tell. It is asked only after Modbus has failed, because it speaks HTTP.
func Sniff(ctx context.Context, address string) string {
	first, err := listenIn(ctx, address, nil)
	switch {
	case err != nil:
		return unreachable(err)
	case bytes.HasPrefix(first, []byte("SSH-")):
		return "an SSH server answers there (" + printable(first) + ")"
	case len(first) > 0:
		return "something else answers there: it greets with " + printable(first)
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return ""
	}
	second, err := listenIn(ctx, address, []byte("GET / HTTP/1.0\r\nHost: "+host+"\r\n\r\n"))
	switch {
	case err != nil:
		return ""
	case bytes.HasPrefix(second, []byte("HTTP/")):
		return "a web server answers there (" + printable(second) + ")"
	case len(second) > 2 && second[0] == 0x15 && second[1] == 3:
		return "a server with TLS answers there: if it is Modbus with TLS, write tcp+tls://"
	}
	return ""
}

// listenIn connects, says something, and returns the first bytes that come.
func listenIn(ctx context.Context, address string, say []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*sniffWait)
	defer cancel()
	conn, err := (&net.Dialer{Timeout: sniffWait}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() }) // ends the read below
	defer stop()
	if _, err := conn.Write(say); err != nil {
		return nil, nil // it hung up: it has nothing to say
	}
	if err := conn.SetReadDeadline(time.Now().Add(sniffWait)); err != nil {
		return nil, err
	}
	b := make([]byte, sniffBytes)
	n, _ := conn.Read(b) // silence tells something too
	return b[:n], nil
}

// unreachable is why no connection came about.
func unreachable(err error) string {
	var timeout net.Error
	var name *net.DNSError
	switch {
	case errors.As(err, &name):
		return fmt.Sprintf("the name %s is not known: write the address in numbers", name.Name)
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens at this port: switch on Modbus TCP at the device, or try another port"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "there is no way to this address from here: check the cable, the network and the address"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "nothing answers at this address: check that the device is on, and its address"
	}
	return ""
}

// printable is the first line of what came, for a message.
func printable(b []byte) string {
	line, _, _ := strings.Cut(strings.ToValidUTF8(string(b), "?"), "\n")
	line = strings.TrimSpace(line)
	const most = 60
	if len(line) > most {
		line = line[:most] + "…"
	}
	return fmt.Sprintf("%q", line)
}

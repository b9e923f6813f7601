// SPDX-License-Identifier: AGPL-3.0-or-later

package freeport_test

import (
	"net"
	"testing"

	"github.com/allmende-energy/allmende/internal/freeport"
)

// An address is good for a server, again and again, and nobody is given it twice.
func TestAddressIsForOne(t *testing.T) {
	seen := map[string]bool{}
	for range 50 {
		address := freeport.Address(t)
		if seen[address] {
			t.Fatalf("%s was given twice", address)
		}
		seen[address] = true
		for range 2 {
			l, err := net.Listen("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			conn.Close()
			l.Close()
		}
	}
}

// SPDX-License-Identifier: AGPL-3.0-or-later

package modbus

import (
	"encoding/binary"
	"io"
	"log"
	"net"
	"testing"
	"time"

	wire "github.com/simonvetter/modbus"
)

// frugal answers reads of holding registers and allocates nothing, so that what
// a benchmark counts is the client's.
func frugal(b *testing.B) string {
	return listen(b, func(conn net.Conn) {
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
		}
	})
}

func BenchmarkRead60(b *testing.B) {
	b.Run("bus", func(b *testing.B) {
		bus := NewBus(Config{URL: "tcp://" + frugal(b), Timeout: 5 * time.Second})
		ctx := b.Context()
		done := make(chan error, 1)
		go func() { done <- bus.Run(ctx) }()
		b.ReportAllocs()
		for b.Loop() {
			if _, err := bus.ReadHolding(ctx, 1, 0, 60); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("bare", func(b *testing.B) {
		client, err := wire.NewClient(&wire.ClientConfiguration{
			URL: "tcp://" + frugal(b), Timeout: 5 * time.Second, Logger: log.New(io.Discard, "", 0),
		})
		if err == nil {
			err = client.Open()
		}
		if err != nil {
			b.Fatal(err)
		}
		defer client.Close() //nolint:errcheck // the benchmark ends
		b.ReportAllocs()
		for b.Loop() {
			if _, err := client.ReadRegisters(0, 60, wire.HOLDING_REGISTER); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// SPDX-License-Identifier: AGPL-3.0-or-later

package coordinator

import (
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/credentials"

	"github.com/allmende-energy/allmende/internal/telemetry"
)

// Bounds of who is not known yet, on the gateways' listener. Enrolling needs one
// call with a request of some 400 bytes.
const (
	maxStrangers  = 64              // connections without a certificate, together
	maxFromOne    = 16              // of them from one address
	maxHandshakes = 64              // handshakes under way from one address
	strangerBytes = 64 << 10        // that one may send
	strangerFor   = time.Minute     // that one may stay
	leaveWithin   = 2 * time.Second // a revoked gateway's stream ends by itself, or is cut
)

// errDoor ends a connection of somebody who takes too much room.
var errDoor = errors.New("too many connections of this kind")

// door is the TLS of the gateways' listener, which knows its connections. It
// bounds what those take who have shown no certificate, and cuts the
// connections of a gateway that was shut out: a stream whose other side reads
// nothing can't be ended otherwise.
type door struct {
	credentials.TransportCredentials

	mu         sync.Mutex
	handshakes map[netip.Addr]int
	strangers  map[netip.Addr]int
	count      int // of strangers
	known      map[*caller]struct{}
	stats      DoorStats
}

// DoorStats counts what happened at the gateways' listener since the start.
type DoorStats struct {
	Handshakes uint64 // that succeeded
	Failed     uint64 // that did not
	Refused    uint64 // connections, because there were too many
	Cut        uint64 // connections of gateways that were shut out
	Strangers  int    // connections without a certificate now
	Gateways   int    // connections with one now
}

func newDoor(inner credentials.TransportCredentials) *door {
	return &door{
		TransportCredentials: inner, handshakes: map[netip.Addr]int{}, strangers: map[netip.Addr]int{}, known: map[*caller]struct{}{},
	}
}

// ServerHandshake implements [credentials.TransportCredentials].
func (d *door) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	from := addressOf(raw)
	if !d.begin(from) {
		raw.Close()
		return nil, nil, errDoor
	}
	conn, info, err := d.TransportCredentials.ServerHandshake(raw)
	d.mu.Lock()
	defer d.mu.Unlock()
	decrease(d.handshakes, from)
	if err != nil {
		d.stats.Failed++
		return nil, nil, err
	}
	c := &caller{Conn: conn, door: d, from: from}
	if tls, ok := info.(credentials.TLSInfo); ok && len(tls.State.PeerCertificates) > 0 {
		c.cert = tls.State.PeerCertificates[0]
		d.known[c] = struct{}{}
	} else {
		if d.count >= maxStrangers || d.strangers[from] >= maxFromOne {
			d.stats.Refused++
			conn.Close()
			return nil, nil, errDoor
		}
		d.strangers[from]++
		d.count++
		c.left.Store(strangerBytes)
		c.late = time.AfterFunc(strangerFor, func() { conn.Close() })
	}
	d.stats.Handshakes++
	return c, info, nil
}

// begin takes a place for a handshake.
func (d *door) begin(from netip.Addr) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.handshakes[from] >= maxHandshakes {
		d.stats.Refused++
		return false
	}
	d.handshakes[from]++
	return true
}

// Clone implements [credentials.TransportCredentials]: there is one door.
func (d *door) Clone() credentials.TransportCredentials { return d }

// cut ends the connections whose certificate is not to be let in any more.
func (d *door) cut(shut func(*x509.Certificate) bool) {
	d.mu.Lock()
	var out []*caller
	for c := range d.known {
		if shut(c.cert) {
			out = append(out, c)
		}
	}
	d.stats.Cut += uint64(len(out))
	d.mu.Unlock()
	for _, c := range out {
		c.Conn.Close() // gRPC then lets go of it
	}
}

// Stats are the counters now.
func (d *door) Stats() DoorStats {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.stats
	s.Strangers, s.Gateways = d.count, len(d.known)
	return s
}

// caller is one connection behind its handshake.
type caller struct {
	net.Conn
	door *door
	from netip.Addr
	cert *x509.Certificate // nil: a stranger
	left atomic.Int64      // bytes that a stranger may still send
	late *time.Timer
	once sync.Once
}

// Read gives a stranger what she may send, and no more.
func (c *caller) Read(b []byte) (int, error) {
	if c.cert != nil {
		return c.Conn.Read(b)
	}
	left := c.left.Load()
	if left <= 0 {
		return 0, errDoor
	}
	n, err := c.Conn.Read(b[:min(int64(len(b)), left)])
	c.left.Add(-int64(n))
	return n, err
}

// Close gives the place back.
func (c *caller) Close() error {
	c.once.Do(func() {
		d := c.door
		d.mu.Lock()
		defer d.mu.Unlock()
		if c.cert != nil {
			delete(d.known, c)
			return
		}
		c.late.Stop()
		decrease(d.strangers, c.from)
		d.count--
	})
	return c.Conn.Close()
}

func decrease(counts map[netip.Addr]int, key netip.Addr) {
	if counts[key]--; counts[key] <= 0 {
		delete(counts, key)
	}
}

// addressOf is where a connection comes from, without its port. One computer
// has as many IPv6 addresses as it likes, so a network of them counts as one.
func addressOf(c net.Conn) netip.Addr {
	at, err := netip.ParseAddrPort(c.RemoteAddr().String())
	if err != nil {
		return netip.Addr{}
	}
	addr := at.Addr().Unmap().WithZone("")
	if addr.Is6() {
		const network = 64
		if prefix, err := addr.Prefix(network); err == nil {
			return prefix.Addr()
		}
	}
	return addr
}

// measures are the door's counters.
func (d *door) measures() telemetry.Group {
	return telemetry.Group{
		Metrics: []telemetry.Metric{
			{Name: "allmende_gateway_handshakes_total", Help: "TLS handshakes on the gateways' listener.", Kind: telemetry.Total, Labels: []string{"outcome"}},
			{Name: "allmende_gateway_connections", Help: "Connections on the gateways' listener, with a certificate and without.", Labels: []string{"certificate"}},
			{Name: "allmende_gateway_connections_cut_total", Help: "Connections of gateways that were revoked or left, and did not end by themselves.", Kind: telemetry.Total},
		},
		Take: func(set telemetry.Setter) {
			s := d.Stats()
			set(0, float64(s.Handshakes), "ok")
			set(0, float64(s.Failed), "failed")
			set(0, float64(s.Refused), "refused")
			set(1, float64(s.Gateways), "yes")
			set(1, float64(s.Strangers), "no")
			set(2, float64(s.Cut))
		},
	}
}

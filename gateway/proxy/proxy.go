// SPDX-License-Identifier: AGPL-3.0-or-later

// Package proxy shares one Modbus device, or one serial line, with other
// software over Modbus TCP. Many devices take a single connection; the proxy
// holds it, and its clients take turns.
//
// Each client has one request under way at most, whatever it sends ahead, so
// that nobody gets more than its turn and nothing grows. Writes are refused
// unless they were allowed by register: two masters that steer one battery are
// worse than one that cannot.
package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"
)

// Bus is what stands behind the proxy; *modbus.Bus is one. An error that tells
// an ExceptionCode is passed on as it is.
type Bus interface {
	ReadHolding(ctx context.Context, unit uint8, addr, n uint16) ([]uint16, error)
	ReadInput(ctx context.Context, unit uint8, addr, n uint16) ([]uint16, error)
	ReadCoils(ctx context.Context, unit uint8, addr, n uint16) ([]bool, error)
	ReadDiscrete(ctx context.Context, unit uint8, addr, n uint16) ([]bool, error)
	WriteRegisters(ctx context.Context, unit uint8, addr uint16, values []uint16) error
	WriteRegister(ctx context.Context, unit uint8, addr, value uint16) error
	WriteCoil(ctx context.Context, unit uint8, addr uint16, on bool) error
	WriteCoils(ctx context.Context, unit uint8, addr uint16, on []bool) error
}

// Config says what the proxy allows.
type Config struct {
	Listen     string        // host:port; port 0 takes a free one
	Units      []uint8       // that may be asked; empty: all
	Writes     []Range       // that may be written; empty: none
	MaxClients int           // at once; 0: 16
	Wait       time.Duration // for an answer, with the time in the queue; 0: 10 s
	Idle       time.Duration // after which a silent client is dropped; 0: 10 min
	// Cache lets an answer serve again for so long; 0: each question goes to the device.
	Cache time.Duration
	Log   *slog.Logger // nil: nothing is said
}

const (
	defaultClients = 16
	mostClients    = 256
	defaultWait    = 10 * time.Second
	defaultIdle    = 10 * time.Minute
	mostCache      = time.Minute
	writeTime      = 10 * time.Second // for a client to take its answer
)

// Validate says what is wrong with c, nil if nothing is.
func (c Config) Validate() error {
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		return fmt.Errorf("listen address %q: write it as host:port, such as 127.0.0.1:1502, or :1502 for all networks of this computer", c.Listen)
	}
	if c.MaxClients < 0 || c.MaxClients > mostClients {
		return fmt.Errorf("%d clients: at most %d", c.MaxClients, mostClients)
	}
	if c.Cache < 0 || c.Cache > mostCache {
		return fmt.Errorf("answers kept for %s: at most %s", c.Cache, mostCache)
	}
	return nil
}

// Proxy is a listener with its clients.
type Proxy struct {
	cfg      Config
	bus      Bus
	listener net.Listener
	cache    cache
	mu       sync.Mutex
	clients  map[net.Conn]struct{}
	group    sync.WaitGroup
}

// Listen opens the listener; [Proxy.Run] serves.
func Listen(ctx context.Context, cfg Config, bus Bus) (*Proxy, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.MaxClients == 0 {
		cfg.MaxClients = defaultClients
	}
	if cfg.Wait == 0 {
		cfg.Wait = defaultWait
	}
	if cfg.Idle == 0 {
		cfg.Idle = defaultIdle
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", cfg.Listen)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("listening on %s: another program uses this port; stop it or choose another: %w", cfg.Listen, err)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("listening on %s: ports below 1024 need a right of their own; choose another, such as :1502: %w", cfg.Listen, err)
	case err != nil:
		return nil, fmt.Errorf("listening on %s: %w", cfg.Listen, err)
	}
	return &Proxy{cfg: cfg, bus: bus, listener: listener, clients: map[net.Conn]struct{}{}, cache: cache{age: cfg.Cache}}, nil
}

// Addr is where it listens.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Run serves clients until ctx ends, then drops them and waits for what they
// had under way.
func (p *Proxy) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, p.close)
	defer p.group.Wait()
	defer stop()
	for {
		conn, err := p.listener.Accept()
		if ctx.Err() != nil {
			if err == nil {
				_ = conn.Close()
			}
			return nil
		}
		if err != nil {
			p.close()
			return fmt.Errorf("listening on %s: %w", p.cfg.Listen, err)
		}
		if !p.add(ctx, conn) {
			p.cfg.Log.Warn("too many clients: this one was turned away", "client", conn.RemoteAddr().String(), "at_once", p.cfg.MaxClients)
			_ = conn.Close()
			continue
		}
		p.group.Go(func() { p.serve(ctx, conn) })
	}
}

func (p *Proxy) close() {
	_ = p.listener.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.clients {
		_ = conn.Close()
	}
}

// add takes a client in, unless there are too many or the proxy ends.
func (p *Proxy) add(ctx context.Context, conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.clients) >= p.cfg.MaxClients || ctx.Err() != nil {
		return false
	}
	p.clients[conn] = struct{}{}
	return true
}

// serve answers one client, one request after the other.
func (p *Proxy) serve(ctx context.Context, conn net.Conn) {
	log := p.cfg.Log.With("client", conn.RemoteAddr().String())
	log.Info("client connected")
	defer func() {
		_ = conn.Close()
		p.mu.Lock()
		delete(p.clients, conn)
		p.mu.Unlock()
	}()
	buf := make([]byte, headSize+mostPDU)
	out := make([]byte, 0, headSize+mostPDU)
	for {
		if conn.SetReadDeadline(time.Now().Add(p.cfg.Idle)) != nil {
			return
		}
		f, err := readFrame(conn, buf)
		if errors.Is(err, errNotModbus) {
			log.Warn("dropped: what it sent is not Modbus TCP")
		}
		if err != nil {
			return
		}
		pdu, err := p.handle(ctx, f)
		if no, refused := errors.AsType[exception](err); refused {
			pdu = []byte{f.pdu[0] | 0x80, byte(no)}
		}
		out = appendFrame(out[:0], f, pdu)
		if conn.SetWriteDeadline(time.Now().Add(writeTime)) != nil {
			return
		}
		if _, err := conn.Write(out); err != nil {
			return
		}
	}
}

// handle answers one request; its error is always an exception.
func (p *Proxy) handle(ctx context.Context, f frame) ([]byte, error) {
	q, err := parse(f.pdu)
	if err != nil {
		return nil, err
	}
	if len(p.cfg.Units) > 0 && !slices.Contains(p.cfg.Units, f.unit) {
		return nil, noPath
	}
	if q.writes() && !slices.ContainsFunc(p.cfg.Writes, func(r Range) bool { return r.allows(q) }) {
		p.cfg.Log.Warn("a write was refused: allow its registers if it shall pass", "unit", f.unit, "function", q.function, "address", q.addr, "count", q.count)
		if len(p.cfg.Writes) == 0 {
			return nil, illegalFunction
		}
		return nil, illegalAddress
	}
	key := key{f.unit, q.function, q.addr, q.count}
	begun := time.Now()
	if pdu := p.cache.get(key, begun); pdu != nil && !q.writes() {
		return pdu, nil
	}
	ctx, cancel := context.WithTimeout(ctx, p.cfg.Wait)
	defer cancel()
	if q.writes() {
		p.cache.forget(f.unit)
		defer p.cache.forget(f.unit) // what was read meanwhile may be old
	}
	values, bits, err := p.ask(ctx, f.unit, q)
	if err != nil {
		return nil, refusal(err)
	}
	pdu := q.answer(values, bits)
	if !q.writes() {
		p.cache.put(key, pdu, begun)
	}
	return pdu, nil
}

func (p *Proxy) ask(ctx context.Context, unit uint8, q query) (values []uint16, bits []bool, err error) {
	switch q.function {
	case readCoils:
		bits, err = p.bus.ReadCoils(ctx, unit, q.addr, q.count)
	case readDiscrete:
		bits, err = p.bus.ReadDiscrete(ctx, unit, q.addr, q.count)
	case readHolding:
		values, err = p.bus.ReadHolding(ctx, unit, q.addr, q.count)
	case readInput:
		values, err = p.bus.ReadInput(ctx, unit, q.addr, q.count)
	case writeCoil:
		err = p.bus.WriteCoil(ctx, unit, q.addr, q.bits[0])
	case writeCoils:
		err = p.bus.WriteCoils(ctx, unit, q.addr, q.bits)
	case writeRegister:
		err = p.bus.WriteRegister(ctx, unit, q.addr, q.values[0])
	case writeRegisters:
		err = p.bus.WriteRegisters(ctx, unit, q.addr, q.values)
	}
	return values, bits, err
}

// refusal is the exception that tells a client about err: the device's own, busy
// where the queue was too long, and a silent target otherwise.
func refusal(err error) exception {
	type refused interface {
		error
		ExceptionCode() uint8
	}
	if e, ok := errors.AsType[refused](err); ok {
		return exception(e.ExceptionCode())
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return busy
	}
	return silent
}

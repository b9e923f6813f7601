// SPDX-License-Identifier: AGPL-3.0-or-later

package wire

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/allmende-energy/allmende/energy"
)

// Options of a server. The zero value is a device without faults.
type Options struct {
	Faults []Rule
	Seed   uint64 // of what rules draw
	// Clients is how many connections there may be at once, 0: 64. Many devices
	// take one.
	Clients int
	// Kick makes room for a new client by dropping the oldest. Otherwise a new
	// one is refused while there is no room.
	Kick bool
	// Since is the time since the listener began that rules count from and until
	// in; nil: wall time.
	Since func() energy.Span
	// Observe is told of each request before it is answered; nil: nobody is.
	Observe func(Exchange)
}

// Exchange is a request and what the rules made of it.
type Exchange struct {
	Request   Request
	Malformed Exception // what is wrong with it, 0 if nothing is
	Effect    Effect
	// Connected and Gap are how long ago the connection was made and the last
	// answer was sent, in wall time.
	Connected, Gap time.Duration
}

// Limits of a server.
const (
	mostClients = 64
	idle        = 10 * time.Minute // a silent client is dropped
	writeTime   = 5 * time.Second  // a client that does not read is dropped
	mostLate    = 64               // answers under way at once; what is more is never sent
	mostHeld    = 64
)

// Server is a Modbus server with any number of units behind it.
type Server struct {
	handler Handler
	opts    Options
	framing Framing
	script  *script
	began   time.Time
	tcp     net.Listener // nil: serial
	url     string
	addr    string

	stop  chan struct{}
	group sync.WaitGroup
	late  chan struct{} // a place for each late answer

	line sync.Mutex // RTU: one exchange at a time, whoever asks

	mu       sync.Mutex
	sessions []*session // oldest first
	held     [][]byte   // answers on the line that wait for the next request (RTU)
	closed   bool
}

// Listen starts a server at an address as [ParseAddress] reads it. Port 0 takes
// a free port. The error of a port in use wraps syscall.EADDRINUSE.
func Listen(address string, h Handler, o Options) (*Server, error) {
	a, err := ParseAddress(address)
	if err == nil {
		err = Validate(o.Faults)
	}
	if err != nil {
		return nil, fmt.Errorf("modbus listener: %w", err)
	}
	s := &Server{
		handler: h, opts: o, framing: a.Framing(), script: newScript(o.Seed, o.Faults), began: time.Now(),
		stop: make(chan struct{}), late: make(chan struct{}, mostLate),
	}
	s.opts.Clients = cmp.Or(o.Clients, mostClients)
	if err := s.open(a); err != nil {
		return nil, fmt.Errorf("modbus listener %s: %w", address, err)
	}
	return s, nil
}

func (s *Server) open(a Address) error {
	switch a.scheme {
	case "pty":
		pty, err := OpenPTY()
		if err != nil {
			return err
		}
		s.addr, s.url = pty.Path, "rtu://"+pty.Path
		s.begin(pty)
		return nil
	case "rtu":
		port, err := openSerial(a.serial)
		if err != nil {
			return err
		}
		s.addr, s.url = a.serial.path, "rtu://"+a.serial.path
		s.begin(port)
		return nil
	}
	l, err := net.Listen("tcp", a.host)
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("another program uses this port; stop it or choose another: %w", err)
	}
	if err != nil {
		return err
	}
	s.tcp, s.addr, s.url = l, l.Addr().String(), a.scheme+"://"+l.Addr().String()
	s.group.Go(s.accept)
	return nil
}

// Addr is the bound host:port, or the device that a client of a serial line opens.
func (s *Server) Addr() string { return s.addr }

// URL is how a client names it: tcp://…, rtuovertcp://… or rtu:///dev/….
func (s *Server) URL() string { return s.url }

// Close stops listening, drops all clients and waits for requests that are being
// answered; the handler is not called afterwards.
func (s *Server) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	close(s.stop)
	var err error
	if s.tcp != nil {
		err = s.tcp.Close()
	}
	for _, c := range s.sessions {
		drop(c.conn)
	}
	s.mu.Unlock()
	s.group.Wait()
	return err
}

// HangUp drops all clients, as a device that restarts does.
func (s *Server) HangUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.sessions {
		if s.tcp != nil {
			drop(c.conn)
		}
	}
}

func (s *Server) accept() {
	for {
		conn, err := s.tcp.Accept()
		if err != nil {
			select {
			case <-s.stop:
				return
			case <-time.After(10 * time.Millisecond): // out of descriptors: it passes
				continue
			}
		}
		s.begin(conn)
	}
}

// begin takes in a client, or turns it away.
func (s *Server) begin(conn conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	full := len(s.sessions) >= s.opts.Clients
	if s.closed || full && !s.opts.Kick {
		abort(conn)
		return
	}
	if full {
		abort(s.sessions[0].conn)
		s.sessions = s.sessions[1:]
	}
	now := time.Now()
	c := &session{server: s, conn: conn, opened: now, answered: now}
	s.sessions = append(s.sessions, c)
	s.group.Go(func() {
		c.run()
		s.end(c)
	})
}

func (s *Server) end(c *session) {
	drop(c.conn)
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, other := range s.sessions {
		if other == c {
			s.sessions = append(s.sessions[:i:i], s.sessions[i+1:]...)
			return
		}
	}
}

// newest is the client that bytes on a line reach when the one that asked is gone.
func (s *Server) newest() *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.sessions) == 0 {
		return nil
	}
	return s.sessions[len(s.sessions)-1]
}

func (s *Server) since() energy.Span {
	if s.opts.Since != nil {
		return s.opts.Since()
	}
	return energy.SpanOf(time.Since(s.began))
}

// pause waits, false if the server closes first.
func (s *Server) pause(d energy.Span) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d.Duration())
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.stop:
		return false
	}
}

// abort ends a TCP connection without saying goodbye.
func abort(c conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // what could go wrong no longer matters
	}
	drop(c)
}

// drop closes a connection. One that will not close is gone as well.
func drop(c conn) { _ = c.Close() }

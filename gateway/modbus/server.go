// SPDX-License-Identifier: AGPL-3.0-or-later

package modbus

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"sync"
	"syscall"
	"time"

	wire "github.com/simonvetter/modbus"
)

// Handler answers the requests of a [Server]. It is called from several
// goroutines at once. An error that wraps [ErrException] becomes that
// exception on the wire, any other becomes "device failure".
type Handler interface {
	ReadHolding(unit uint8, addr, n uint16) ([]uint16, error)
	WriteRegisters(unit uint8, addr uint16, values []uint16) error
}

// Limits of a server.
const (
	serverIdle    = 10 * time.Minute // a silent client is dropped
	serverClients = 64               // connections at once
	portTries     = 20               // attempts to get a free port for port 0
)

// Server is a Modbus TCP listener with any number of units behind it.
type Server struct {
	wire    *wire.ModbusServer
	addr    string
	handler Handler
	mu      sync.RWMutex // held for reading while a request is answered
	closed  bool
}

// Listen starts a server on address (host:port). Port 0 takes a free port,
// which [Server.Addr] tells. The error of a port in use wraps
// syscall.EADDRINUSE.
func Listen(address string, h Handler) (*Server, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("modbus listener %q: write it as host:port: %w", address, err)
	}
	for range portTries {
		chosen := address
		if port == "0" {
			if chosen, err = freePort(host); err != nil {
				return nil, fmt.Errorf("modbus listener %q: %w", address, err)
			}
		}
		s := &Server{addr: chosen, handler: h}
		s.wire, err = wire.NewServer(&wire.ServerConfiguration{
			URL: "tcp://" + chosen, Timeout: serverIdle, MaxClients: serverClients, Logger: log.New(io.Discard, "", 0),
		}, s)
		if err == nil {
			err = s.wire.Start()
		}
		if err == nil {
			return s, nil
		}
		if port != "0" || !errors.Is(err, syscall.EADDRINUSE) {
			break // somebody may take a free port before we do; then look for another
		}
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("modbus listener %q: another program uses this port; stop it or choose another: %w", address, err)
	}
	return nil, fmt.Errorf("modbus listener %q: %w", address, err)
}

// freePort asks the system for a port that nobody uses now. The library opens
// its listener itself and does not tell which port 0 became.
func freePort(host string) (string, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return "", err
	}
	addr := l.Addr().String()
	return addr, l.Close()
}

// Addr is the bound host:port.
func (s *Server) Addr() string { return s.addr }

// Close stops listening, drops all clients and waits for requests that are
// being answered; the handler is not called afterwards.
func (s *Server) Close() error {
	err := s.wire.Stop()
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	if err != nil {
		return fmt.Errorf("closing the modbus listener %s: %w", s.addr, err)
	}
	return nil
}

// HandleHoldingRegisters serves functions 3, 6 and 16 for the library.
func (s *Server) HandleHoldingRegisters(req *wire.HoldingRegistersRequest) ([]uint16, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return nil, wire.ErrServerDeviceFailure
	}
	if req.IsWrite {
		return nil, toWire(s.handler.WriteRegisters(req.UnitId, req.Addr, req.Args))
	}
	values, err := s.handler.ReadHolding(req.UnitId, req.Addr, req.Quantity)
	return values, toWire(err)
}

// HandleInputRegisters refuses: SunSpec lives in holding registers.
func (s *Server) HandleInputRegisters(*wire.InputRegistersRequest) ([]uint16, error) {
	return nil, wire.ErrIllegalFunction
}

// HandleCoils refuses.
func (s *Server) HandleCoils(*wire.CoilsRequest) ([]bool, error) {
	return nil, wire.ErrIllegalFunction
}

// HandleDiscreteInputs refuses.
func (s *Server) HandleDiscreteInputs(*wire.DiscreteInputsRequest) ([]bool, error) {
	return nil, wire.ErrIllegalFunction
}

// toWire is the library's error for err; it compares by identity.
func toWire(err error) error {
	if err == nil {
		return nil
	}
	if refused, ok := errors.AsType[ErrException](err); ok {
		if known, ok := exceptions[refused.Code]; ok {
			return known
		}
	}
	return wire.ErrServerDeviceFailure
}

// SPDX-License-Identifier: AGPL-3.0-or-later

package modbus

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"os"

	wire "github.com/simonvetter/modbus"
)

// mbap is a connection whose frames have transaction numbers: tcp, tcp+tls, udp.
// The library does the work. After any fault the connection is closed, so that
// what arrives late arrives nowhere.
type mbap struct {
	client *wire.ModbusClient
}

func openMBAP(cfg Config, where target) (line, error) {
	conf := &wire.ClientConfiguration{
		URL: where.scheme + "://" + where.address, Timeout: cfg.Timeout, Logger: log.New(io.Discard, "", 0),
	}
	if where.scheme == schemeTLS {
		if err := secure(conf, where.tls); err != nil {
			return nil, err
		}
	}
	client, err := wire.NewClient(conf)
	if err == nil {
		err = client.Open()
	}
	if err != nil {
		return nil, err
	}
	// Both hold for every request; only the unit changes.
	if err := client.SetEncoding(wire.BIG_ENDIAN, wire.HIGH_WORD_FIRST); err != nil {
		return nil, err
	}
	return &mbap{client}, nil
}

// secure reads the certificates, anew for each connection: they may have been renewed.
func secure(conf *wire.ClientConfiguration, files TLS) error {
	pem, err := os.ReadFile(files.CAFile)
	if err != nil {
		return fmt.Errorf("setting ca: %w", err)
	}
	conf.TLSRootCAs = x509.NewCertPool()
	if !conf.TLSRootCAs.AppendCertsFromPEM(pem) {
		return fmt.Errorf("setting ca: %s holds no certificate in PEM form", files.CAFile)
	}
	pair, err := tls.LoadX509KeyPair(files.CertFile, files.KeyFile)
	if err != nil {
		return fmt.Errorf("settings cert and key (%s, %s): %w", files.CertFile, files.KeyFile, err)
	}
	conf.TLSClientCert = &pair
	return nil
}

func (m *mbap) exchange(req *request) (got reply) {
	if got.err = m.client.SetUnitId(req.unit); got.err != nil {
		return got
	}
	switch req.function {
	case readHolding:
		got.values, got.err = m.client.ReadRegisters(req.addr, req.count, wire.HOLDING_REGISTER)
	case readInput:
		got.values, got.err = m.client.ReadRegisters(req.addr, req.count, wire.INPUT_REGISTER)
	case readCoils:
		got.bits, got.err = m.client.ReadCoils(req.addr, req.count)
	case readDiscrete:
		got.bits, got.err = m.client.ReadDiscreteInputs(req.addr, req.count)
	case writeCoil:
		got.err = m.client.WriteCoil(req.addr, req.bits[0])
	case writeCoils:
		got.err = m.client.WriteCoils(req.addr, req.bits)
	case writeRegister:
		got.err = m.client.WriteRegister(req.addr, req.values[0])
	case writeRegisters:
		got.err = m.client.WriteRegisters(req.addr, req.values)
	default:
		got.err = ErrRequest
	}
	got.err = classify(got.err)
	return got
}

func (m *mbap) usable(err error) bool {
	_, refused := err.(ErrException) //nolint:errorlint // classify made it
	return err == nil || refused
}

func (m *mbap) close() { _ = m.client.Close() } // what could go wrong no longer matters

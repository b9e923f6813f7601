// SPDX-License-Identifier: AGPL-3.0-or-later

package modbus

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"

	wire "github.com/simonvetter/modbus"
)

// Kinds of failure; every error of a [Bus] wraps exactly one of these, an
// [ErrException], or the error of the caller's context.
var (
	// ErrTimeout says that no complete answer came in time.
	ErrTimeout = errors.New("no answer in time")
	// ErrProtocol says that what came was no answer to the request: garbage,
	// half a frame, another function or another unit.
	ErrProtocol = errors.New("the answer is not valid Modbus")
	// ErrUnavailable says that there is no connection: it was refused or broke,
	// or the pause before the next attempt is not over.
	ErrUnavailable = errors.New("device not reachable")
	// ErrClosed says that the bus has stopped.
	ErrClosed = errors.New("modbus bus closed")
	// ErrRequest says that the request itself is outside what Modbus allows;
	// nothing was sent.
	ErrRequest = errors.New("request outside the limits of Modbus")
)

// ErrException is a device's refusal: the exchange worked, the answer is no.
type ErrException struct {
	Code uint8 // exception code of the Modbus application protocol, section 7
}

// ExceptionCode tells the code to packages that do not import this one.
func (e ErrException) ExceptionCode() uint8 { return e.Code }

// Exception codes that devices and the simulator use.
const (
	IllegalFunction    uint8 = 0x01
	IllegalDataAddress uint8 = 0x02
	IllegalDataValue   uint8 = 0x03
	DeviceFailure      uint8 = 0x04
	DeviceBusy         uint8 = 0x06
	PathUnavailable    uint8 = 0x0a
	TargetSilent       uint8 = 0x0b
)

// exceptions maps the codes to the errors of the underlying library and back.
var exceptions = map[uint8]wire.Error{
	IllegalFunction:    wire.ErrIllegalFunction,
	IllegalDataAddress: wire.ErrIllegalDataAddress,
	IllegalDataValue:   wire.ErrIllegalDataValue,
	DeviceFailure:      wire.ErrServerDeviceFailure,
	0x05:               wire.ErrAcknowledge,
	DeviceBusy:         wire.ErrServerDeviceBusy,
	0x08:               wire.ErrMemoryParityError,
	PathUnavailable:    wire.ErrGWPathUnavailable,
	TargetSilent:       wire.ErrGWTargetFailedToRespond,
}

// Error names the code in words.
func (e ErrException) Error() string {
	if name, ok := exceptions[e.Code]; ok {
		return fmt.Sprintf("the device refused: %s (exception %d)", string(name), e.Code)
	}
	return fmt.Sprintf("the device refused with exception %d", e.Code)
}

// classify turns an error of the library into one of the kinds above.
func classify(err error) error {
	if err == nil {
		return nil
	}
	for code, known := range exceptions {
		if errors.Is(err, known) {
			return ErrException{Code: code}
		}
	}
	var code uint8
	if n, _ := fmt.Sscanf(err.Error(), "unknown exception code (%d)", &code); n == 1 {
		return ErrException{Code: code}
	}
	var timeout net.Error
	switch {
	case errors.Is(err, wire.ErrRequestTimedOut), errors.As(err, &timeout) && timeout.Timeout():
		return ErrTimeout
	case connectionGone(err):
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return fmt.Errorf("%w: %w", ErrProtocol, err)
}

// connectionGone says whether the other side had closed the connection before
// any of the answer came. A half-received answer is a protocol error instead.
func connectionGone(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, syscall.EPIPE) || errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.ECONNREFUSED) ||
		strings.Contains(err.Error(), "use of closed network connection")
}

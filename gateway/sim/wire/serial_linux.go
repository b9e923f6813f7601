// SPDX-License-Identifier: AGPL-3.0-or-later

package wire

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// PTY is a pseudo-terminal pair: what is written to one end comes out at the
// other. A client opens Path as if it were a serial port.
type PTY struct {
	*os.File        // our end
	Path     string // the other end's device
	other    *os.File
}

// OpenPTY makes a pair in raw mode. It keeps the other end open as well, so that
// a client may come and go as at a real port; what it did not read waits for the
// next one, as in a port's buffer.
func OpenPTY() (*PTY, error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("a pseudo-terminal pair: opening /dev/ptmx: %w", err)
	}
	master := os.NewFile(uintptr(fd), "/dev/ptmx")
	p, err := pair(master, fd)
	if err != nil {
		return nil, fmt.Errorf("a pseudo-terminal pair: %w", joinClose(err, master))
	}
	return p, nil
}

func pair(master *os.File, fd int) (*PTY, error) {
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		return nil, fmt.Errorf("unlocking: %w", err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		return nil, fmt.Errorf("its number: %w", err)
	}
	path := "/dev/pts/" + strconv.Itoa(n)
	other, err := openRaw(path, unix.B9600, 0)
	if err != nil {
		return nil, err
	}
	return &PTY{File: master, Path: path, other: other}, nil
}

// Close closes both ends.
func (p *PTY) Close() error { return joinClose(p.File.Close(), p.other) }

// openRaw opens a terminal device without any processing of what passes.
func openRaw(path string, speed, flags uint32) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	f := os.NewFile(uintptr(fd), path)
	t := unix.Termios{
		Cflag: unix.CREAD | unix.CLOCAL | speed | flags, Ispeed: speed, Ospeed: speed,
	}
	if flags&unix.CSIZE == 0 {
		t.Cflag |= unix.CS8
	}
	t.Cc[unix.VMIN] = 1
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &t); err != nil {
		return nil, joinClose(fmt.Errorf("%s: setting it to raw mode: %w; is it a serial port?", path, err), f)
	}
	return f, nil
}

// speeds a port can be set to.
func speeds() map[int]uint32 {
	return map[int]uint32{
		1200: unix.B1200, 2400: unix.B2400, 4800: unix.B4800, 9600: unix.B9600, 19200: unix.B19200,
		38400: unix.B38400, 57600: unix.B57600, 115200: unix.B115200,
	}
}

func openSerial(p serialPort) (*os.File, error) {
	speed, ok := speeds()[p.baud]
	if !ok {
		return nil, fmt.Errorf("%s: %d baud can't be set here; write one of 1200 to 115200, such as baud=9600", p.path, p.baud)
	}
	var flags uint32
	switch p.parity {
	case "E":
		flags |= unix.PARENB
	case "O":
		flags |= unix.PARENB | unix.PARODD
	}
	if p.stop == 2 {
		flags |= unix.CSTOPB
	}
	return openRaw(p.path, speed, flags)
}

// SPDX-License-Identifier: AGPL-3.0-or-later

package guard

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/allmende-energy/allmende/commons/roll"
)

// Waiver is an operator's signature under the risk of commanding a device that
// never comes back to itself: when its gateway dies, the last command stays in
// force until somebody ends it at the device.
type Waiver struct {
	Asset    roll.AssetID
	Serial   string // of the device; empty: whatever stands there
	Operator string // who takes the risk
	Date     string // YYYY-MM-DD
}

// Bounds of a waiver's texts.
const (
	mostOperator = 100
	mostSerial   = 64
	mostWaiver   = 1000
)

const waiverVersion = "allmende-waiver-1"

// waiverKey is what a public key begins with where it is written down.
const waiverKey = "ed25519:"

// Statement is what is signed, for a person to read.
func (w Waiver) Statement() string {
	serial := w.Serial
	if serial == "" {
		serial = "any serial number"
	}
	return fmt.Sprintf("%s\ndevice: %s (%s)\noperator: %s\ndate: %s\n"+
		"I know that this device does not come back to itself when its gateway, its line or its power fails: "+
		"it goes on as it was told last, until somebody ends that at the device. I take it upon me that it is commanded all the same.\n",
		waiverVersion, w.Asset, serial, w.Operator, w.Date)
}

// Validate says what is wrong with w, nil if nothing is.
func (w Waiver) Validate() error {
	if err := roll.CheckID(string(w.Asset)); err != nil {
		return fmt.Errorf("the device: %w", err)
	}
	bad := func(s string, most int) bool {
		return len(s) > most || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == '|' || r == 0x7f }) || strings.TrimSpace(s) != s
	}
	if w.Operator == "" || bad(w.Operator, mostOperator) {
		return fmt.Errorf("the operator: write a name of 1 to %d characters, without '|'", mostOperator)
	}
	if bad(w.Serial, mostSerial) {
		return fmt.Errorf("the serial number: write at most %d characters, without '|'", mostSerial)
	}
	if !isDate(w.Date) {
		return fmt.Errorf("the date %.20q: write it as 2026-11-21", w.Date)
	}
	return nil
}

func isDate(s string) bool {
	if len(s) != len("2026-11-21") {
		return false
	}
	for i, r := range s {
		if dash := i == 4 || i == 7; dash != (r == '-') || !dash && (r < '0' || r > '9') {
			return false
		}
	}
	return true
}

// Sign makes the one line that goes into gateway.yaml.
func (w Waiver) Sign(key ed25519.PrivateKey) (string, error) {
	if err := w.Validate(); err != nil {
		return "", err
	}
	signature := base64.StdEncoding.EncodeToString(ed25519.Sign(key, []byte(w.Statement())))
	return strings.Join([]string{waiverVersion, string(w.Asset), w.Serial, w.Operator, w.Date, signature}, "|"), nil
}

// KeyText is a public key as it is written down.
func KeyText(key ed25519.PublicKey) string { return waiverKey + base64.StdEncoding.EncodeToString(key) }

// ParseKey is the reverse of [KeyText].
func ParseKey(text string) (ed25519.PublicKey, error) {
	rest, ok := strings.CutPrefix(text, waiverKey)
	key, err := base64.StdEncoding.Strict().DecodeString(rest)
	if !ok || err != nil || len(key) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("%.60q is no key: \"allmende gateway waiver\" prints it, such as ed25519:…=", text)
	}
	return key, nil
}

// ErrWaiver says that a waiver is none.
var ErrWaiver = errors.New("not a valid waiver")

// CheckWaiver reads a waiver for an asset and holds it against the keys of those
// who may sign one.
func CheckWaiver(text string, asset roll.AssetID, keys []ed25519.PublicKey) (Waiver, error) {
	const again = "make it anew: allmende gateway waiver"
	parts := strings.Split(text, "|")
	if len(text) > mostWaiver || len(parts) != 6 || parts[0] != waiverVersion {
		return Waiver{}, fmt.Errorf("%w: it is not the line that the command printed; %s", ErrWaiver, again)
	}
	w := Waiver{Asset: roll.AssetID(parts[1]), Serial: parts[2], Operator: parts[3], Date: parts[4]}
	if err := w.Validate(); err != nil {
		return Waiver{}, fmt.Errorf("%w: %w; %s", ErrWaiver, err, again)
	}
	if w.Asset != asset {
		return Waiver{}, fmt.Errorf("%w: it was signed for %s; %s", ErrWaiver, w.Asset, again)
	}
	signature, err := base64.StdEncoding.Strict().DecodeString(parts[5])
	if err != nil {
		return Waiver{}, fmt.Errorf("%w: its signature is damaged; %s", ErrWaiver, again)
	}
	if len(keys) == 0 {
		return Waiver{}, fmt.Errorf("%w: waiver_keys names nobody who may sign one: add the key that the command printed", ErrWaiver)
	}
	for _, key := range keys {
		if ed25519.Verify(key, []byte(w.Statement()), signature) {
			return w, nil
		}
	}
	return Waiver{}, fmt.Errorf("%w: none of waiver_keys signed exactly this; %s", ErrWaiver, again)
}

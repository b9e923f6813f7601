// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/gateway/guard"
)

type gatewayWaiverCmd struct {
	Asset    string `arg:"" help:"The device, by its asset in gateway.yaml."`
	Operator string `required:"" placeholder:"NAME" help:"Who takes the risk: the name of a person."`
	Serial   string `placeholder:"TEXT" help:"The device's serial number, as \"allmende gateway probe\" shows it. With it the waiver ends when the device is replaced."`
	Key      string `default:"operator.key" type:"path" placeholder:"FILE" help:"Your private key; it is made where there is none. Keep it on your own computer, not on the gateway."`
	JSON     bool   `help:"Print as JSON."`
}

// Help is shown by allmende gateway waiver --help.
func (c *gatewayWaiverCmd) Help() string {
	return `Some devices never come back to themselves: when their gateway, its line or its
power fails, they go on as they were told last, until somebody ends that at the
device. Allmende only watches such a device, unless an operator signs that this
is known and taken over.

The command prints two lines for the gateway's gateway.yaml: the key in
waiver_keys says whose signature counts, and waiver stands with the device.
Nobody can change device, name or date of a waiver without the key.

  allmende gateway waiver battery-1 --operator "Anna Berg" --serial 7E1701P2042`
}

// Run signs.
func (c *gatewayWaiverCmd) Run(out *output) error {
	w := guard.Waiver{
		Asset: roll.AssetID(c.Asset), Serial: c.Serial, Operator: c.Operator, Date: time.Now().UTC().Format(time.DateOnly),
	}
	if err := w.Validate(); err != nil {
		return err
	}
	key, made, err := operatorKey(c.Key)
	if err != nil {
		return err
	}
	line, err := w.Sign(key)
	if err != nil {
		return err
	}
	public := guard.KeyText(key.Public().(ed25519.PublicKey))
	if c.JSON {
		return out.JSON(map[string]string{"asset": c.Asset, "waiver": line, "key": public, "statement": w.Statement()})
	}
	if made {
		out.Remark("Made a key in %s; keep it.\n", c.Key)
	}
	out.Remark("You sign:\n\n%s\nInto gateway.yaml, the first line for the gateway and the second with the device:\n\n", w.Statement())
	out.Printf("waiver_keys: [%q]\nwaiver: %q\n", public, line)
	return nil
}

const operatorKeyBlock = "PRIVATE KEY"

// operatorKey reads a key, or makes it where there is no file.
func operatorKey(path string) (key ed25519.PrivateKey, made bool, err error) {
	b, err := os.ReadFile(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		key, err = makeOperatorKey(path)
		return key, true, err
	case err != nil:
		return nil, false, fmt.Errorf("your key: %w", err)
	}
	block, _ := pem.Decode(b)
	if block == nil || block.Type != operatorKeyBlock {
		return nil, false, fmt.Errorf("your key: %s holds no private key in PEM; name another file, and one is made", path)
	}
	any, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	key, ok := any.(ed25519.PrivateKey)
	if err != nil || !ok {
		return nil, false, fmt.Errorf("your key: %s holds no ed25519 key; name another file, and one is made", path)
	}
	return key, false, nil
}

func makeOperatorKey(path string) (ed25519.PrivateKey, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("your key: %w", err)
	}
	err = pem.Encode(f, &pem.Block{Type: operatorKeyBlock, Bytes: der})
	return key, errors.Join(err, f.Close())
}

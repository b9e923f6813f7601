// SPDX-License-Identifier: AGPL-3.0-or-later

package people

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"testing"
)

// authenticator is a passkey's device, as the standard describes it.
type authenticator struct {
	t        *testing.T
	rp       string
	origin   string
	id       []byte
	user     []byte
	key      *ecdsa.PrivateKey
	count    uint32
	verified bool
	silent   bool // it counts nothing, as passkeys that are synchronised don't
}

func newAuthenticator(t *testing.T, rp, origin string) *authenticator {
	a := &authenticator{t: t, rp: rp, origin: origin, id: make([]byte, 16), verified: true}
	rand.Read(a.id)
	a.renew()
	return a
}

func (a *authenticator) copy() *authenticator {
	c := *a
	return &c
}

func (a *authenticator) renew() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	a.key = key
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// text is a CBOR text string, and blob a byte string, of up to 65,535 bytes.
func text(s string) []byte { return append(head(0x60, len(s)), s...) }
func blob(b []byte) []byte { return append(head(0x40, len(b)), b...) }

func head(major byte, n int) []byte {
	switch {
	case n < 24:
		return []byte{major | byte(n)}
	case n < 256:
		return []byte{major | 24, byte(n)}
	}
	return binary.BigEndian.AppendUint16([]byte{major | 25}, uint16(n))
}

func join(parts ...[]byte) (out []byte) {
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

func (a *authenticator) data(attested []byte) []byte {
	hash := sha256.Sum256([]byte(a.rp))
	flags := byte(0x01) // somebody is there
	if a.verified {
		flags |= 0x04
	}
	if attested != nil {
		flags |= 0x40
	}
	if !a.silent {
		a.count++
	}
	return join(hash[:], []byte{flags}, binary.BigEndian.AppendUint32(nil, a.count), attested)
}

func (a *authenticator) client(kind, challenge string) []byte {
	b, err := json.Marshal(map[string]any{"type": kind, "challenge": challenge, "origin": a.origin, "crossOrigin": false})
	if err != nil {
		a.t.Fatal(err)
	}
	return b
}

// create answers to the options of a registration.
func (a *authenticator) create(options string) string {
	var o struct {
		Challenge string
		User      struct{ ID string }
	}
	if err := json.Unmarshal([]byte(options), &o); err != nil {
		a.t.Fatal(err)
	}
	user, err := base64.RawURLEncoding.DecodeString(o.User.ID)
	if err != nil {
		a.t.Fatal(err)
	}
	a.user = user
	point, err := a.key.PublicKey.Bytes() // 4, x, y
	if err != nil {
		a.t.Fatal(err)
	}
	cose := join([]byte{0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21}, blob(point[1:33]), []byte{0x22}, blob(point[33:]))
	attested := join(make([]byte, 16), binary.BigEndian.AppendUint16(nil, uint16(len(a.id))), a.id, cose)
	object := join([]byte{0xa3}, text("fmt"), text("none"), text("attStmt"), []byte{0xa0}, text("authData"), blob(a.data(attested)))
	return a.answer(map[string]any{
		"clientDataJSON": b64(a.client("webauthn.create", o.Challenge)), "attestationObject": b64(object), "transports": []string{"internal"},
	})
}

// get answers to the options of a sign-in.
func (a *authenticator) get(options string) string {
	var o struct{ Challenge string }
	if err := json.Unmarshal([]byte(options), &o); err != nil {
		a.t.Fatal(err)
	}
	data, client := a.data(nil), a.client("webauthn.get", o.Challenge)
	hash := sha256.Sum256(client)
	digest := sha256.Sum256(join(data, hash[:]))
	signature, err := ecdsa.SignASN1(rand.Reader, a.key, digest[:])
	if err != nil {
		a.t.Fatal(err)
	}
	return a.answer(map[string]any{
		"clientDataJSON": b64(client), "authenticatorData": b64(data), "signature": b64(signature), "userHandle": b64(a.user),
	})
}

func (a *authenticator) answer(response map[string]any) string {
	b, err := json.Marshal(map[string]any{
		"id": b64(a.id), "rawId": b64(a.id), "type": "public-key", "authenticatorAttachment": "platform",
		"clientExtensionResults": map[string]any{}, "response": response,
	})
	if err != nil {
		a.t.Fatal(err)
	}
	return string(b)
}

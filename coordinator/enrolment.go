// SPDX-License-Identifier: AGPL-3.0-or-later

package coordinator

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/coordinator/api"
	"github.com/allmende-energy/allmende/coordinator/authority"
	"github.com/allmende-energy/allmende/coordinator/store"
)

// tokenLife is how long an enrolment token may be used, on the wall clock.
const tokenLife = 10 * time.Minute

// tokenPrefix names the format of a token, so that a later one can differ.
const tokenPrefix = "alm1."

// tokens is the part of the store that enrolment needs.
type tokens interface {
	CreateToken(ctx context.Context, gateway roll.GatewayID, hash [32]byte, expires time.Time) error
	UseToken(ctx context.Context, hash, key [32]byte, now time.Time) (roll.GatewayID, error)
}

// enrolment trades one-time tokens for certificates.
type enrolment struct {
	register   *register
	identities *identities
	tokens     tokens
	address    string // that gateways dial
}

// token is what a token's text carries. The gateway checks the coordinator by
// the authority's fingerprint, the coordinator the gateway by the secret.
type token struct {
	Addr   string `json:"addr"`
	ID     string `json:"id"`
	Secret string `json:"secret"`
	CA     string `json:"ca"`
}

// createToken makes a token for a gateway of the register. Only the secret's
// hash is kept: 256 random bits need no slow hash.
func (e *enrolment) createToken(ctx context.Context, id roll.GatewayID) (string, time.Time, error) {
	if !e.knows(id) {
		return "", time.Time{}, fmt.Errorf("%w: there is no gateway %s in the register: add it with `allmende gateway add %s`", api.ErrNotFound, id, id)
	}
	raw := make([]byte, 32)
	rand.Read(raw) // never fails (crypto/rand)
	secret := base64.RawURLEncoding.EncodeToString(raw)
	expires := e.identities.wall().Add(tokenLife)
	if err := e.tokens.CreateToken(ctx, id, sha256.Sum256([]byte(secret)), expires); err != nil {
		return "", time.Time{}, err
	}
	text, err := json.Marshal(token{ //nolint:gosec // a token is there to carry the secret
		e.address, string(id), secret, e.identities.authority.Fingerprint(),
	})
	if err != nil {
		return "", time.Time{}, fmt.Errorf("enrolment token: %w", err)
	}
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(text), expires, nil
}

// enrol uses a token up and signs the request. The request is looked at as far
// as possible before the token is spent. It is spent for one key, which may ask
// again while the token lasts: on a bad link the answer gets lost.
func (e *enrolment) enrol(ctx context.Context, secret string, requestDER []byte) (api.Enrolled, error) {
	key, err := authority.Parse(requestDER)
	if err != nil {
		return api.Enrolled{}, fmt.Errorf("%w: csr_der: %w", api.ErrInvalid, err)
	}
	i := e.identities
	i.issuing.Lock() // a revocation ends tokens, too
	defer i.issuing.Unlock()
	id, err := e.tokens.UseToken(ctx, sha256.Sum256([]byte(secret)), key, i.wall())
	if errors.Is(err, store.ErrToken) {
		return api.Enrolled{}, fmt.Errorf("%w: %w", api.ErrDenied, err)
	}
	if err != nil {
		return api.Enrolled{}, err
	}
	if !e.knows(id) {
		return api.Enrolled{}, fmt.Errorf("%w: gateway %s is no longer in the register: add it there and make a new token", api.ErrDenied, id)
	}
	return i.issue(ctx, id, key, requestDER, store.OriginEnrolled)
}

func (e *enrolment) knows(id roll.GatewayID) bool {
	for _, g := range gatewaysOf(e.register.stands().Coming) {
		if g.ID == id {
			return true
		}
	}
	return false
}

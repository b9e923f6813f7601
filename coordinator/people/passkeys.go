// SPDX-License-Identifier: AGPL-3.0-or-later

package people

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/allmende-energy/allmende/coordinator/access"
	"github.com/allmende-energy/allmende/coordinator/store"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

// ceremonies are passkeys' ceremonies under way. They are kept in memory: who
// begins one has no account yet as far as we know, and must not fill the disk.
type ceremonies struct {
	now func() time.Time

	mu    sync.Mutex
	going map[string]ceremony
}

type ceremony struct {
	data   webauthn.SessionData
	person string // who adds a passkey; empty for a sign-in
	host   string
	ends   time.Time
}

const (
	mostCeremonies = 1_000
	ceremonyFor    = 5 * time.Minute
)

func newCeremonies(now func() time.Time) *ceremonies {
	return &ceremonies{now: now, going: map[string]ceremony{}}
}

func (c *ceremonies) begin(x ceremony) (id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if len(c.going) >= mostCeremonies {
		for id, x := range c.going {
			if !now.Before(x.ends) {
				delete(c.going, id)
			}
		}
		for id := range c.going {
			if len(c.going) < mostCeremonies {
				break
			}
			delete(c.going, id) // any one: its owner begins again
		}
	}
	x.ends = now.Add(ceremonyFor)
	id = random(idBytes)
	c.going[id] = x
	return id
}

// take ends a ceremony: each is good for one answer.
func (c *ceremonies) take(id, person, host string) (ceremony, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	x, ok := c.going[id]
	delete(c.going, id)
	if !ok || !c.now().Before(x.ends) || x.person != person || x.host != host {
		return ceremony{}, status.Error(codes.FailedPrecondition, "this took too long: begin again")
	}
	return x, nil
}

// relyingParty is what passkeys are for at the address that the browser is at.
// The address is one of ours: the web listener refuses others.
func (p *People) relyingParty(ctx context.Context) (*webauthn.WebAuthn, *web, error) {
	w, err := onWeb(ctx)
	if err != nil {
		return nil, nil, err
	}
	if !passkeysPossible(ctx) {
		return nil, nil, status.Error(codes.FailedPrecondition, "passkeys belong to a name, not to a number: open the page by its name, or as http://localhost with the same port on this computer")
	}
	rp, err := webauthn.New(&webauthn.Config{
		RPID: w.host, RPDisplayName: p.cfg.Community, RPOrigins: w.origins,
		AttestationPreference: protocol.PreferNoAttestation,
		AuthenticatorSelection: protocol.AuthenticatorSelection{
			ResidentKey: protocol.ResidentKeyRequirementRequired, UserVerification: protocol.VerificationRequired,
		},
	})
	if err != nil {
		return nil, nil, p.answer("preparing passkeys", fmt.Errorf("passkeys: %w", err))
	}
	return rp, w, nil
}

// holder is an account as the webauthn library sees it.
type holder struct {
	store.Person
	keys []webauthn.Credential
}

// WebAuthnID implements [webauthn.User].
func (h holder) WebAuthnID() []byte { return h.Handle }

// WebAuthnName implements [webauthn.User].
func (h holder) WebAuthnName() string { return h.Login }

// WebAuthnDisplayName implements [webauthn.User].
func (h holder) WebAuthnDisplayName() string { return h.Name }

// WebAuthnCredentials implements [webauthn.User].
func (h holder) WebAuthnCredentials() []webauthn.Credential { return h.keys }

func (p *People) holder(ctx context.Context, a store.Person) (holder, error) {
	keys, err := p.store.Passkeys(ctx, a.ID)
	if err != nil {
		return holder{}, err
	}
	h := holder{Person: a}
	for _, k := range keys {
		var c webauthn.Credential
		if err := json.Unmarshal(k.Credential, &c); err != nil {
			return holder{}, fmt.Errorf("passkey of %s: %w", a.ID, err)
		}
		h.keys = append(h.keys, c)
	}
	return h, nil
}

func (p *People) ceremony(x ceremony, options any) (*allmendev1.PasskeyCeremony, error) {
	text, err := json.Marshal(options)
	if err != nil {
		return nil, p.answer("preparing passkeys", err)
	}
	return &allmendev1.PasskeyCeremony{CeremonyId: p.rites.begin(x), OptionsJson: string(text)}, nil
}

// BeginPasskey implements AccountService.
func (s *Accounts) BeginPasskey(ctx context.Context, req *allmendev1.BeginPasskeyRequest) (*allmendev1.PasskeyCeremony, error) {
	a, _, err := s.sure(ctx, req.GetCurrentPassword())
	if err != nil {
		return nil, err
	}
	rp, w, err := s.relyingParty(ctx)
	if err != nil {
		return nil, err
	}
	h, err := s.holder(ctx, a)
	if err != nil {
		return nil, s.answer("reading passkeys", err)
	}
	if len(h.keys) >= mostPasskeys {
		return nil, status.Errorf(codes.ResourceExhausted, "you have %d passkeys: remove one first", len(h.keys))
	}
	options, data, err := rp.BeginRegistration(h,
		webauthn.WithResidentKeyRequirement(protocol.ResidentKeyRequirementRequired),
		webauthn.WithExclusions(webauthn.Credentials(h.keys).CredentialDescriptors()))
	if err != nil {
		return nil, s.answer("beginning with a passkey", err)
	}
	return s.ceremony(ceremony{data: *data, person: a.ID, host: w.host}, options.Response)
}

// FinishPasskey implements AccountService.
func (s *Accounts) FinishPasskey(ctx context.Context, req *allmendev1.FinishPasskeyRequest) (*allmendev1.Passkey, error) {
	a, w, err := s.own(ctx)
	if err != nil {
		return nil, err
	}
	name, err := checkName("name", req.GetName())
	if err != nil {
		return nil, err
	}
	rp, _, err := s.relyingParty(ctx)
	if err != nil {
		return nil, err
	}
	x, err := s.rites.take(req.GetCeremonyId(), a.ID, w.host)
	if err != nil {
		return nil, err
	}
	h, err := s.holder(ctx, a)
	if err != nil {
		return nil, s.answer("reading passkeys", err)
	}
	answer, err := protocol.ParseCredentialCreationResponseBytes([]byte(req.GetResponseJson()))
	if err != nil {
		return nil, badPasskey(err)
	}
	made, err := rp.CreateCredential(h, x.data, answer)
	if err != nil {
		return nil, badPasskey(err)
	}
	if name == "" {
		name = "Passkey of " + s.now().UTC().Format(time.DateOnly)
	}
	k := store.Passkey{ID: made.ID, Person: a.ID, Name: name, Created: s.now()}
	if k.Credential, err = json.Marshal(made); err != nil {
		return nil, s.answer("keeping a passkey", err)
	}
	if err := s.store.SavePasskey(ctx, k); err != nil {
		return nil, s.answer("keeping a passkey", err)
	}
	return passkey(k), nil
}

func badPasskey(err error) error {
	why := err.Error()
	if e, ok := errors.AsType[*protocol.Error](err); ok {
		why = e.Details
	}
	return status.Errorf(codes.InvalidArgument, "the passkey was not taken (%s): begin again", clip(why))
}

func passkey(k store.Passkey) *allmendev1.Passkey {
	return &allmendev1.Passkey{
		PasskeyId: base64.RawURLEncoding.EncodeToString(k.ID), Name: k.Name,
		CreatedUnixMs: millis(k.Created), UsedUnixMs: millis(k.Used),
	}
}

// millis is an instant on the wire; the zero time is 0.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// ListPasskeys implements AccountService.
func (s *Accounts) ListPasskeys(ctx context.Context, _ *allmendev1.ListPasskeysRequest) (*allmendev1.ListPasskeysResponse, error) {
	keys, err := s.store.Passkeys(ctx, access.From(ctx).ID)
	if err != nil {
		return nil, s.answer("reading passkeys", err)
	}
	out := &allmendev1.ListPasskeysResponse{}
	for _, k := range keys {
		out.Passkeys = append(out.Passkeys, passkey(k))
	}
	return out, nil
}

// RemovePasskey implements AccountService.
func (s *Accounts) RemovePasskey(ctx context.Context, req *allmendev1.RemovePasskeyRequest) (*allmendev1.RemovePasskeyResponse, error) {
	id, err := base64.RawURLEncoding.DecodeString(req.GetPasskeyId())
	if err != nil {
		return nil, s.answer("removing a passkey", store.ErrNoPerson)
	}
	if err := s.store.RemovePasskey(ctx, access.From(ctx).ID, id); err != nil {
		return nil, s.answer("removing a passkey", err)
	}
	return &allmendev1.RemovePasskeyResponse{}, nil
}

// BeginPasskeySignIn implements AccountService.
func (s *Accounts) BeginPasskeySignIn(ctx context.Context, _ *allmendev1.BeginPasskeySignInRequest) (*allmendev1.PasskeyCeremony, error) {
	rp, w, err := s.relyingParty(ctx)
	if err != nil {
		return nil, err
	}
	if d := s.begun.try(access.CallerOf(ctx).Network()); d > 0 {
		return nil, s.wait(d)
	}
	options, data, err := rp.BeginDiscoverableLogin(webauthn.WithUserVerification(protocol.VerificationRequired))
	if err != nil {
		return nil, s.answer("beginning a sign-in", err)
	}
	return s.ceremony(ceremony{data: *data, host: w.host}, options.Response)
}

// FinishPasskeySignIn implements AccountService.
func (s *Accounts) FinishPasskeySignIn(ctx context.Context, req *allmendev1.FinishPasskeySignInRequest) (*allmendev1.Me, error) {
	rp, w, err := s.relyingParty(ctx)
	if err != nil {
		return nil, err
	}
	x, err := s.rites.take(req.GetCeremonyId(), "", w.host)
	if err != nil {
		return nil, err
	}
	answer, err := protocol.ParseCredentialRequestResponseBytes([]byte(req.GetResponseJson()))
	if err != nil {
		return nil, badPasskey(err)
	}
	var of holder
	_, used, err := rp.ValidatePasskeyLogin(func(_, handle []byte) (webauthn.User, error) {
		a, err := s.store.PersonByHandle(ctx, handle)
		if err == nil {
			of, err = s.holder(ctx, a)
		}
		return of, err
	}, x.data, answer)
	if err != nil || used.Authenticator.CloneWarning || !of.Disabled.IsZero() {
		s.counted.wrong.Add(1)
		return nil, status.Error(codes.Unauthenticated, "this passkey opens no account here: try another, or sign in with your password")
	}
	s.begun.credit(access.CallerOf(ctx).Network())
	if err := s.used(ctx, of.Person, used); err != nil {
		return nil, s.answer("noting the use of a passkey", err)
	}
	return s.enter(ctx, w, of.Person)
}

// used keeps what a passkey's use changed of it: its counter, above all.
func (p *People) used(ctx context.Context, a store.Person, c *webauthn.Credential) error {
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}
	keys, err := p.store.Passkeys(ctx, a.ID)
	if err != nil {
		return err
	}
	for _, k := range keys {
		if bytes.Equal(k.ID, c.ID) {
			k.Credential, k.Used = text, p.now()
			return p.store.SavePasskey(ctx, k)
		}
	}
	return store.ErrNoPerson
}

// SPDX-License-Identifier: AGPL-3.0-or-later

package people

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/allmende-energy/allmende/coordinator/access"
	"github.com/allmende-energy/allmende/coordinator/store"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

// WhoAmI implements AccountService.
func (s *Accounts) WhoAmI(ctx context.Context, _ *allmendev1.WhoAmIRequest) (*allmendev1.Me, error) {
	who := access.From(ctx)
	if who.Kind == access.Person {
		a, err := s.store.PersonByID(ctx, who.ID)
		if err != nil {
			return nil, s.answer("reading an account", err)
		}
		return s.me(ctx, a, who)
	}
	out := &allmendev1.Me{Kind: string(who.Kind), PasskeysPossible: passkeysPossible(ctx)}
	for _, r := range who.Roles {
		out.Roles = append(out.Roles, string(r))
	}
	for _, perm := range who.Permissions() {
		out.Permissions = append(out.Permissions, string(perm))
	}
	needed, err := s.SetupNeeded(ctx)
	if err != nil {
		return nil, s.answer("reading accounts", err)
	}
	out.SetupNeeded = needed
	return out, nil
}

func (p *People) me(ctx context.Context, a store.Person, who access.Principal) (*allmendev1.Me, error) {
	left, err := p.store.CodesLeft(ctx, a.ID)
	if err != nil {
		return nil, p.answer("reading an account", err)
	}
	out := &allmendev1.Me{
		Kind: string(access.Person), PersonId: a.ID, Login: a.Login, Name: a.Name, Roles: a.Roles, MemberId: string(a.Member),
		WithoutPassword: a.Password == "", RecoveryCodesLeft: int32(left), PasskeysPossible: passkeysPossible(ctx),
	}
	for _, perm := range who.Permissions() {
		out.Permissions = append(out.Permissions, string(perm))
	}
	if w := webOf(ctx); w != nil {
		out.SessionEndsUnixMs = w.manager.Deadline(ctx).UnixMilli()
	}
	return out, nil
}

// SetupNeeded says whether nobody can look after accounts yet.
func (p *People) SetupNeeded(ctx context.Context) (bool, error) {
	all, err := p.store.People(ctx)
	return !anySteward(all), err
}

func anySteward(all []store.Person) bool {
	for _, a := range all {
		if a.Disabled.IsZero() && contains(a.Roles, access.RoleSteward) {
			return true
		}
	}
	return false
}

func contains(roles []string, r access.Role) bool {
	return slices.Contains(roles, string(r))
}

// SignIn implements AccountService.
func (s *Accounts) SignIn(ctx context.Context, req *allmendev1.SignInRequest) (*allmendev1.Me, error) {
	w, err := onWeb(ctx)
	if err != nil {
		return nil, err
	}
	login, network := fold(req.GetLogin()), access.CallerOf(ctx).Network()
	if len(login) > mostLogin || len(req.GetPassword()) > 4*mostPassword {
		return nil, s.errNotFitting()
	}
	if d := s.limits.try(login, network); d > 0 {
		return nil, s.wait(d)
	}
	a, err := s.store.PersonByLogin(ctx, login)
	if err != nil && !errors.Is(err, store.ErrNoPerson) {
		return nil, s.answer("reading an account", err)
	}
	// The same work whether there is an account or not, and a password or not.
	ok, outdated, err := s.hasher.check(ctx, req.GetPassword(), a.Password)
	if err != nil {
		return nil, s.answer("checking a password", err)
	}
	if !ok || !a.Disabled.IsZero() {
		return nil, s.errNotFitting()
	}
	s.limits.succeeded(login, network)
	if outdated {
		s.rehash(ctx, a.ID, req.GetPassword())
	}
	return s.enter(ctx, w, a)
}

// rehash keeps a password at today's cost; where that fails, it works as before.
func (p *People) rehash(ctx context.Context, id, password string) {
	hashed, err := p.hasher.hash(ctx, password)
	if err == nil {
		err = p.store.ChangePerson(ctx, id, func(a *store.Person, _ []store.Person) error {
			a.Password = hashed
			return nil
		})
	}
	if err != nil {
		p.log.Warn("a password could not be hashed anew", "person", id, "error", err)
	}
}

// enter begins a session and says who has it.
func (p *People) enter(ctx context.Context, w *web, a store.Person) (*allmendev1.Me, error) {
	if err := p.begin(ctx, w, a); err != nil {
		return nil, p.answer("beginning a session", err)
	}
	return p.me(ctx, a, p.principal(a))
}

// Recover implements AccountService. It doesn't wait for what somebody else
// tried with passwords: nobody guesses a code.
func (s *Accounts) Recover(ctx context.Context, req *allmendev1.RecoverRequest) (*allmendev1.Me, error) {
	w, err := onWeb(ctx)
	if err != nil {
		return nil, err
	}
	if d := s.links.try(access.CallerOf(ctx).Network()); d > 0 {
		return nil, s.wait(d)
	}
	a, err := s.store.PersonByLogin(ctx, fold(req.GetLogin()))
	if err != nil && !errors.Is(err, store.ErrNoPerson) {
		return nil, s.answer("reading an account", err)
	}
	if !a.Disabled.IsZero() {
		a.ID = "" // no code fits
	}
	err = s.store.UseCode(ctx, a.ID, codeDigest(req.GetCode()))
	if errors.Is(err, store.ErrNoPerson) {
		return nil, s.errNotFitting()
	}
	if err != nil {
		return nil, s.answer("using a recovery code", err)
	}
	s.links.credit(access.CallerOf(ctx).Network())
	return s.enter(ctx, w, a)
}

// SignOut implements AccountService.
func (s *Accounts) SignOut(ctx context.Context, req *allmendev1.SignOutRequest) (*allmendev1.SignOutResponse, error) {
	w, err := onWeb(ctx)
	if err != nil {
		return nil, err
	}
	id := access.From(ctx).ID
	if req.GetEverywhere() {
		if err := s.endSessions(ctx, id); err != nil {
			return nil, s.answer("ending sessions", err)
		}
	}
	if err := w.manager.Destroy(ctx); err != nil {
		return nil, s.answer("ending a session", err)
	}
	// Her streams in other windows come again, and those of this session can't.
	s.guard.End(id)
	return &allmendev1.SignOutResponse{}, nil
}

// endSessions ends all sessions of an account, and its streams.
func (p *People) endSessions(ctx context.Context, id string) error {
	err := p.store.ChangePerson(ctx, id, func(a *store.Person, _ []store.Person) error {
		a.Generation++
		return nil
	})
	if err != nil {
		return err
	}
	p.guard.End(id)
	return p.store.EndWebSessions(ctx, id, "")
}

// SetPassword implements AccountService.
func (s *Accounts) SetPassword(ctx context.Context, req *allmendev1.SetPasswordRequest) (*allmendev1.Me, error) {
	a, w, err := s.sure(ctx, req.GetCurrentPassword())
	if err != nil {
		return nil, err
	}
	if err := acceptable(req.GetNewPassword(), a.Login, a.Name, s.cfg.Community); err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	hashed, err := s.hasher.hash(ctx, req.GetNewPassword())
	if err != nil {
		return nil, s.answer("hashing a password", err)
	}
	err = s.store.ChangePerson(ctx, a.ID, func(have *store.Person, _ []store.Person) error {
		have.Password = hashed
		have.Generation++ // all sessions end
		a = *have
		return nil
	})
	if err != nil {
		return nil, s.answer("setting a password", err)
	}
	if err := s.store.EndWebSessions(ctx, a.ID, ""); err != nil {
		return nil, s.answer("ending sessions", err)
	}
	s.guard.End(a.ID)
	return s.enter(ctx, w, a) // this one begins anew
}

// NewRecoveryCodes implements AccountService.
func (s *Accounts) NewRecoveryCodes(ctx context.Context, req *allmendev1.NewRecoveryCodesRequest) (*allmendev1.RecoveryCodes, error) {
	a, _, err := s.sure(ctx, req.GetCurrentPassword())
	if err != nil {
		return nil, err
	}
	codes, hashes := newCodes()
	if err := s.store.ReplaceCodes(ctx, a.ID, hashes); err != nil {
		return nil, s.answer("making recovery codes", err)
	}
	return &allmendev1.RecoveryCodes{Codes: codes}, nil
}

// Bounds of names.
const (
	leastLogin = 3
	mostLogin  = 60
	mostName   = 100
)

// fold makes of a login what is kept: letters are small.
func fold(login string) string { return strings.ToLower(strings.TrimSpace(login)) }

// checkLogin takes plain letters, so that no two accounts look the same.
func checkLogin(login string) error {
	if n := len(login); n < leastLogin || n > mostLogin {
		return status.Errorf(codes.InvalidArgument, "login: %d characters, %d to %d are expected", n, leastLogin, mostLogin)
	}
	for _, c := range login {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && !strings.ContainsRune("._-@+", c) {
			return status.Errorf(codes.InvalidArgument, "login: %q is not taken: write letters a to z, digits, or . _ - @ +", c)
		}
	}
	return nil
}

// checkName takes a name as people write it, and nothing that a terminal or a
// table would stumble over.
func checkName(field, name string) (string, error) {
	name = strings.TrimSpace(name)
	if !utf8.ValidString(name) || utf8.RuneCountInString(name) > mostName {
		return "", status.Errorf(codes.InvalidArgument, "%s: write at most %d characters", field, mostName)
	}
	for _, c := range name {
		if !unicode.IsPrint(c) {
			return "", status.Errorf(codes.InvalidArgument, "%s: a character in it can't be shown: type it anew", field)
		}
	}
	return name, nil
}

// passkeysPossible says whether the browser is at an address that can have
// passkeys: a name, not a number.
func passkeysPossible(ctx context.Context) bool {
	w := webOf(ctx)
	if w == nil {
		return false
	}
	_, err := netip.ParseAddr(w.host)
	return err != nil
}

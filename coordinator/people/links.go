// SPDX-License-Identifier: AGPL-3.0-or-later

package people

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/allmende-energy/allmende/coordinator/access"
	"github.com/allmende-energy/allmende/coordinator/store"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

// setupRoles are what who sets a community up gets: the operator of a small
// co-op is all of it, until others take over.
func setupRoles() []string {
	return []string{string(access.RoleSteward), string(access.RoleTreasurer), string(access.RoleInstaller)}
}

// address is where a link leads. The secret stands in the fragment, which a
// browser sends to nobody and no proxy writes down.
func (p *People) address(secret string) string { return p.cfg.Base + "/#/link/" + secret }

// SetupLink makes the link for the first account where nobody can look after
// accounts yet; ok is false where somebody can.
func (p *People) SetupLink(ctx context.Context) (url string, expires time.Time, ok bool, err error) {
	needed, err := p.SetupNeeded(ctx)
	if err != nil || !needed {
		return "", time.Time{}, false, err
	}
	url, expires, err = p.newSetupLink(ctx)
	return url, expires, err == nil, err
}

func (p *People) newSetupLink(ctx context.Context) (string, time.Time, error) {
	secret, now := random(secretBytes), p.now()
	i := store.Invitation{
		ID: newID("i"), Hash: digest(secret), Setup: true, Roles: setupRoles(), By: string(access.Local),
		Created: now, Expires: now.Add(setupFor),
	}
	if err := p.store.AddInvitation(ctx, i); err != nil {
		return "", time.Time{}, err
	}
	return p.address(secret), i.Expires, nil
}

// CreateSetupLink implements PeopleService.
func (s *Administration) CreateSetupLink(ctx context.Context, _ *allmendev1.CreateSetupLinkRequest) (*allmendev1.CreateSetupLinkResponse, error) {
	url, expires, err := s.newSetupLink(ctx)
	if err != nil {
		return nil, s.answer("making a setup link", err)
	}
	return &allmendev1.CreateSetupLinkResponse{Url: url, ExpiresUnixMs: expires.UnixMilli()}, nil
}

// link looks up what a secret opens, for callers that don't guess much.
func (p *People) link(ctx context.Context, secret string) (store.Invitation, error) {
	network := access.CallerOf(ctx).Network()
	if d := p.links.try(network); d > 0 {
		return store.Invitation{}, p.wait(d)
	}
	i, err := p.store.InvitationByHash(ctx, digest(secret), p.now())
	if errors.Is(err, store.ErrNoPerson) {
		return i, errLink
	}
	if err != nil {
		return i, p.answer("reading a link", err)
	}
	p.links.credit(network)
	return i, nil
}

var errLink = status.Error(codes.NotFound, "this link is used, too old, or was copied in part: ask for a new one; the operator makes a setup link with: allmende people setup-link")

// ReadLink implements AccountService.
func (s *Accounts) ReadLink(ctx context.Context, req *allmendev1.ReadLinkRequest) (*allmendev1.Link, error) {
	i, err := s.link(ctx, req.GetSecret())
	if err != nil {
		return nil, err
	}
	return &allmendev1.Link{
		Setup: i.Setup, CommunityName: s.cfg.Community, Roles: i.Roles, MemberId: string(i.Member), Note: i.Note, ExpiresUnixMs: i.Expires.UnixMilli(),
	}, nil
}

// AcceptLink implements AccountService.
func (s *Accounts) AcceptLink(ctx context.Context, req *allmendev1.AcceptLinkRequest) (*allmendev1.AcceptLinkResponse, error) {
	w, err := onWeb(ctx)
	if err != nil {
		return nil, err
	}
	i, err := s.link(ctx, req.GetSecret())
	if err != nil {
		return nil, err
	}
	a, err := s.applicant(ctx, req)
	if err != nil {
		return nil, err
	}
	a.Roles, a.Member = i.Roles, i.Member
	shown, hashes := newCodes()
	err = s.store.AddPerson(ctx, a, hashes, i.Hash, s.now())
	if errors.Is(err, store.ErrNoPerson) {
		return nil, errLink // somebody was faster
	}
	if err != nil {
		return nil, s.answer("making an account", err)
	}
	me, err := s.enter(ctx, w, a)
	if err != nil {
		return nil, err
	}
	return &allmendev1.AcceptLinkResponse{Me: me, RecoveryCodes: shown}, nil
}

// applicant is the account that somebody asks for, without its roles.
func (p *People) applicant(ctx context.Context, req *allmendev1.AcceptLinkRequest) (a store.Person, err error) {
	a = store.Person{ID: newID("p"), Login: fold(req.GetLogin()), Handle: make([]byte, handleBytes), Created: p.now()}
	rand.Read(a.Handle) // never fails (crypto/rand)
	if err := checkLogin(a.Login); err != nil {
		return a, err
	}
	if a.Name, err = checkName("name", req.GetName()); err != nil {
		return a, err
	}
	if a.Name == "" {
		a.Name = a.Login
	}
	all, err := p.store.People(ctx)
	if err != nil {
		return a, p.answer("reading accounts", err)
	}
	if len(all) >= mostPeople {
		return a, status.Errorf(codes.ResourceExhausted, "there are %d accounts, which is as many as there may be", len(all))
	}
	if req.GetPassword() == "" {
		return a, nil // a passkey comes next
	}
	if err := acceptable(req.GetPassword(), a.Login, a.Name, p.cfg.Community); err != nil {
		return a, status.Error(codes.InvalidArgument, "password: "+err.Error())
	}
	a.Password, err = p.hasher.hash(ctx, req.GetPassword())
	return a, p.answer("hashing a password", err)
}

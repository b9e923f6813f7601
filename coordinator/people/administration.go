// SPDX-License-Identifier: AGPL-3.0-or-later

package people

import (
	"context"
	"slices"
	"strconv"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/coordinator/access"
	"github.com/allmende-energy/allmende/coordinator/store"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

func person(a store.Person) *allmendev1.Person {
	return &allmendev1.Person{
		PersonId: a.ID, Login: a.Login, Name: a.Name, Roles: a.Roles, MemberId: string(a.Member),
		CreatedUnixMs: millis(a.Created), DisabledUnixMs: millis(a.Disabled), SignedInUnixMs: millis(a.SignedIn),
	}
}

// ListPeople implements PeopleService.
func (s *Administration) ListPeople(ctx context.Context, _ *allmendev1.ListPeopleRequest) (*allmendev1.ListPeopleResponse, error) {
	all, err := s.store.People(ctx)
	if err != nil {
		return nil, s.answer("reading accounts", err)
	}
	out := &allmendev1.ListPeopleResponse{}
	for _, a := range all {
		out.People = append(out.People, person(a))
	}
	return out, nil
}

// mayTouch refuses changes of an account that has a role which the caller could
// not give.
func (p *People) mayTouch(ctx context.Context, a *store.Person) error {
	for _, r := range a.Roles {
		if !p.guard.Policy.MayGive(access.From(ctx), access.Role(r)) {
			return status.Errorf(codes.PermissionDenied, "this account is a %s, and you may neither give nor take that role: ask a steward", r)
		}
	}
	return nil
}

// roles checks the roles that somebody is to have.
func (p *People) roles(ctx context.Context, asked []string) ([]string, error) {
	roles := slices.Clone(asked)
	slices.Sort(roles)
	roles = slices.Compact(roles)
	for _, r := range roles {
		if !p.guard.Policy.HasRole(access.Role(r)) {
			return nil, status.Errorf(codes.InvalidArgument, "roles: there is no role %.40q that people may be given: see docs/access.md", r)
		}
		if !p.guard.Policy.MayGive(access.From(ctx), access.Role(r)) {
			return nil, status.Errorf(codes.PermissionDenied, "you may not give the role %s: ask a steward", r)
		}
	}
	return roles, nil
}

func (p *People) member(id string) (roll.MemberID, error) {
	m := roll.MemberID(id)
	if id != "" && (p.cfg.Member == nil || !p.cfg.Member(m)) {
		return "", status.Errorf(codes.InvalidArgument, "member_id: there is no member %.40q in the register: add her first", id)
	}
	return m, nil
}

// lastSteward refuses to leave nobody who could look after accounts.
func lastSteward(before []store.Person, changed store.Person, gone bool) error {
	after := slices.DeleteFunc(slices.Clone(before), func(a store.Person) bool { return a.ID == changed.ID })
	if !gone {
		after = append(after, changed)
	}
	if anySteward(before) && !anySteward(after) {
		return status.Error(codes.FailedPrecondition, "this is the last steward: make somebody else one first")
	}
	return nil
}

// UpdatePerson implements PeopleService.
func (s *Administration) UpdatePerson(ctx context.Context, req *allmendev1.UpdatePersonRequest) (*allmendev1.Person, error) {
	roles, err := s.roles(ctx, req.GetRoles())
	if err != nil {
		return nil, err
	}
	name, err := checkName("name", req.GetName())
	if err != nil {
		return nil, err
	}
	member, err := s.member(req.GetMemberId())
	if err != nil {
		return nil, err
	}
	var out store.Person
	err = s.store.ChangePerson(ctx, req.GetPersonId(), func(a *store.Person, all []store.Person) error {
		if err := s.mayTouch(ctx, a); err != nil {
			return err
		}
		if req.Name != nil && name != "" {
			a.Name = name
		}
		if req.GetChangeRoles() {
			a.Roles = roles
		}
		if req.MemberId != nil {
			a.Member = member
		}
		switch {
		case req.Disabled == nil:
		case !req.GetDisabled():
			a.Disabled = time.Time{}
		case a.Disabled.IsZero():
			a.Disabled = s.now()
		}
		out = *a
		return lastSteward(all, *a, false)
	})
	if err != nil {
		return nil, s.answer("changing an account", err)
	}
	// Roles are looked up with each call; streams learn of it here.
	s.guard.End(out.ID)
	if req.GetSignOut() || req.GetDisabled() {
		if err := s.endSessions(ctx, out.ID); err != nil {
			return nil, s.answer("ending sessions", err)
		}
	}
	return person(out), nil
}

// DeletePerson implements PeopleService.
func (s *Administration) DeletePerson(ctx context.Context, req *allmendev1.DeletePersonRequest) (*allmendev1.DeletePersonResponse, error) {
	err := s.store.DeletePerson(ctx, req.GetPersonId(), func(a *store.Person, all []store.Person) error {
		if err := s.mayTouch(ctx, a); err != nil {
			return err
		}
		return lastSteward(all, *a, true)
	})
	if err != nil {
		return nil, s.answer("deleting an account", err)
	}
	s.guard.End(req.GetPersonId())
	return &allmendev1.DeletePersonResponse{}, nil
}

func invitation(i store.Invitation) *allmendev1.Invitation {
	return &allmendev1.Invitation{
		InvitationId: i.ID, Setup: i.Setup, Note: i.Note, Roles: i.Roles, MemberId: string(i.Member), By: i.By,
		CreatedUnixMs: millis(i.Created), ExpiresUnixMs: millis(i.Expires),
	}
}

// ListInvitations implements PeopleService.
func (s *Administration) ListInvitations(ctx context.Context, _ *allmendev1.ListInvitationsRequest) (*allmendev1.ListInvitationsResponse, error) {
	all, err := s.store.Invitations(ctx)
	if err != nil {
		return nil, s.answer("reading invitations", err)
	}
	out := &allmendev1.ListInvitationsResponse{}
	for _, i := range all {
		if s.now().Before(i.Expires) {
			out.Invitations = append(out.Invitations, invitation(i))
		}
	}
	return out, nil
}

// by is who made something: an account's or token's id, or the kind of caller.
func by(ctx context.Context) string {
	if who := access.From(ctx); who.ID != "" {
		return who.ID
	}
	return string(access.From(ctx).Kind)
}

// days is a span that somebody chose, within bounds.
func days(asked int32, usual time.Duration, most int32) (time.Duration, error) {
	const day = 24 * time.Hour
	switch {
	case asked == 0:
		return usual, nil
	case asked < 0 || asked > most:
		return 0, status.Errorf(codes.InvalidArgument, "valid_days: %d, write 1 to %d, or 0 for %d", asked, most, usual/day)
	}
	return time.Duration(asked) * day, nil
}

// CreateInvitation implements PeopleService.
func (s *Administration) CreateInvitation(ctx context.Context, req *allmendev1.CreateInvitationRequest) (*allmendev1.CreateInvitationResponse, error) {
	roles, err := s.roles(ctx, req.GetRoles())
	if err != nil {
		return nil, err
	}
	if len(roles) == 0 {
		return nil, status.Error(codes.InvalidArgument, "roles: write at least one, such as member: without a role somebody may nothing")
	}
	member, err := s.member(req.GetMemberId())
	if err != nil {
		return nil, err
	}
	note, err := checkName("note", req.GetNote())
	if err != nil {
		return nil, err
	}
	valid, err := days(req.GetValidDays(), invitedFor, invitedMost)
	if err != nil {
		return nil, err
	}
	open, err := s.store.Invitations(ctx)
	if err != nil {
		return nil, s.answer("reading invitations", err)
	}
	if len(open) >= mostInvited {
		return nil, status.Errorf(codes.ResourceExhausted, "%d invitations are open: take some back first", len(open))
	}
	secret, now := random(secretBytes), s.now()
	i := store.Invitation{
		ID: newID("i"), Hash: digest(secret), Note: note, Roles: roles, Member: member, By: by(ctx), Created: now, Expires: now.Add(valid),
	}
	if err := s.store.AddInvitation(ctx, i); err != nil {
		return nil, s.answer("making an invitation", err)
	}
	return &allmendev1.CreateInvitationResponse{Invitation: invitation(i), Url: s.address(secret)}, nil
}

// RemoveInvitation implements PeopleService.
func (s *Administration) RemoveInvitation(ctx context.Context, req *allmendev1.RemoveInvitationRequest) (*allmendev1.RemoveInvitationResponse, error) {
	if err := s.store.RemoveInvitation(ctx, req.GetInvitationId()); err != nil {
		return nil, s.answer("taking an invitation back", err)
	}
	return &allmendev1.RemoveInvitationResponse{}, nil
}

func token(t store.AccessToken) *allmendev1.Token {
	return &allmendev1.Token{
		TokenId: t.ID, Name: t.Name, Scopes: t.Scopes, By: t.By, CreatedUnixMs: millis(t.Created),
		ExpiresUnixMs: millis(t.Expires), UsedUnixMs: millis(t.Used), RevokedUnixMs: millis(t.Revoked),
	}
}

// ListTokens implements PeopleService.
func (s *Administration) ListTokens(ctx context.Context, _ *allmendev1.ListTokensRequest) (*allmendev1.ListTokensResponse, error) {
	all, err := s.store.AccessTokens(ctx)
	if err != nil {
		return nil, s.answer("reading tokens", err)
	}
	out := &allmendev1.ListTokensResponse{}
	for _, t := range all {
		out.Tokens = append(out.Tokens, token(t))
	}
	return out, nil
}

// scopes checks the scopes of a new token: nobody gives what she has not.
func (p *People) scopes(ctx context.Context, asked []string) ([]string, error) {
	scopes := slices.Clone(asked)
	slices.Sort(scopes)
	scopes = slices.Compact(scopes)
	if len(scopes) == 0 {
		return nil, status.Error(codes.InvalidArgument, "scopes: write at least one: without a scope a token may nothing")
	}
	who := access.From(ctx)
	for _, s := range scopes {
		may, known := p.guard.Policy.ScopeOf(access.Scope(s))
		if !known {
			return nil, status.Errorf(codes.InvalidArgument, "scopes: there is no scope %.40q: see docs/access.md", s)
		}
		for _, perm := range may {
			if !who.May(perm) {
				return nil, status.Errorf(codes.PermissionDenied, "scopes: %s includes %q, which you may not yourself: ask somebody who may", s, perm)
			}
		}
	}
	return scopes, nil
}

// CreateToken implements PeopleService.
func (s *Administration) CreateToken(ctx context.Context, req *allmendev1.CreateTokenRequest) (*allmendev1.CreateTokenResponse, error) {
	scopes, err := s.scopes(ctx, req.GetScopes())
	if err != nil {
		return nil, err
	}
	name, err := checkName("name", req.GetName())
	if err != nil {
		return nil, err
	}
	if name == "" {
		return nil, status.Error(codes.InvalidArgument, "name: write what the token is for, so that somebody can tell in a year")
	}
	const year, most = 365 * 24 * time.Hour, 730
	valid, err := days(req.GetValidDays(), year, most)
	if err != nil {
		return nil, err
	}
	all, err := s.store.AccessTokens(ctx)
	if err != nil {
		return nil, s.answer("reading tokens", err)
	}
	if len(all) >= mostTokens {
		return nil, status.Errorf(codes.ResourceExhausted, "there are %d tokens, which is as many as there may be; those long expired are forgotten after a year", len(all))
	}
	secret, now := TokenPrefix+random(secretBytes), s.now()
	t := store.AccessToken{ID: newID("t"), Hash: digest(secret), Name: name, Scopes: scopes, By: by(ctx), Created: now, Expires: now.Add(valid)}
	if err := s.store.AddAccessToken(ctx, t); err != nil {
		return nil, s.answer("making a token", err)
	}
	return &allmendev1.CreateTokenResponse{Token: token(t), Secret: secret}, nil
}

// RevokeToken implements PeopleService.
func (s *Administration) RevokeToken(ctx context.Context, req *allmendev1.RevokeTokenRequest) (*allmendev1.RevokeTokenResponse, error) {
	if err := s.store.RevokeAccessToken(ctx, req.GetTokenId(), s.now()); err != nil {
		return nil, s.answer("revoking a token", err)
	}
	s.guard.End(req.GetTokenId())
	return &allmendev1.RevokeTokenResponse{}, nil
}

// ListAudit implements PeopleService.
func (s *Administration) ListAudit(ctx context.Context, req *allmendev1.ListAuditRequest) (*allmendev1.ListAuditResponse, error) {
	const usual, most = 100, 1000
	limit := int(req.GetPageSize())
	switch {
	case limit < 0 || limit > most:
		return nil, status.Errorf(codes.InvalidArgument, "page_size: %d, write 1 to %d, or 0 for %d", limit, most, usual)
	case limit == 0:
		limit = usual
	}
	outcome := access.Outcome(req.GetOutcome())
	if outcome != "" && !slices.Contains([]access.Outcome{access.Done, access.Denied, access.Failed}, outcome) {
		return nil, status.Errorf(codes.InvalidArgument, "outcome: %s, write done, denied or failed, or leave it out", strconv.Quote(clip(string(outcome))))
	}
	s.audit.flush(ctx)
	rows, err := s.store.AuditPage(ctx, req.GetBeforeId(), string(outcome), limit)
	if err != nil {
		return nil, s.answer("reading the audit log", err)
	}
	names, err := s.names(ctx)
	if err != nil {
		return nil, s.answer("reading accounts", err)
	}
	out := &allmendev1.ListAuditResponse{}
	for _, r := range rows {
		out.Entries = append(out.Entries, &allmendev1.AuditEntry{
			Id: r.ID, AtUnixMs: millis(r.At), Kind: r.Kind, Who: r.Who, WhoName: names[r.Who], Origin: r.Origin,
			Act: r.Act, Object: r.Object, Outcome: r.Outcome, Why: r.Why, Times: r.Times,
		})
	}
	return out, nil
}

// names are what accounts and tokens are called now.
func (p *People) names(ctx context.Context) (map[string]string, error) {
	all, err := p.store.People(ctx)
	if err != nil {
		return nil, err
	}
	tokens, err := p.store.AccessTokens(ctx)
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, a := range all {
		out[a.ID] = a.Name
	}
	for _, t := range tokens {
		out[t.ID] = t.Name
	}
	return out, nil
}

// GetPolicy implements PeopleService.
func (s *Administration) GetPolicy(context.Context, *allmendev1.GetPolicyRequest) (*allmendev1.Policy, error) {
	out := &allmendev1.Policy{MinAggregate: int32(s.cfg.MinAggregate)}
	for _, p := range s.guard.Policy.Permissions {
		out.Permissions = append(out.Permissions, &allmendev1.PolicyPermission{Name: string(p.Name), Means: p.Means, Changes: p.Changes})
	}
	for _, r := range s.guard.Policy.Roles {
		out.Roles = append(out.Roles, grant(string(r.Role), r.Means, r.May))
	}
	for _, sc := range s.guard.Policy.Scopes {
		out.Scopes = append(out.Scopes, grant(string(sc.Scope), sc.Means, sc.May))
	}
	return out, nil
}

func grant(name, means string, may []access.Permission) *allmendev1.PolicyGrant {
	out := &allmendev1.PolicyGrant{Name: name, Means: means}
	for _, p := range may {
		out.Permissions = append(out.Permissions, string(p))
	}
	return out
}

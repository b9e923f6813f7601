// SPDX-License-Identifier: AGPL-3.0-or-later

package people

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/alexedwards/scs/v2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/coordinator/access"
	"github.com/allmende-energy/allmende/coordinator/store"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

// Store is the part of the coordinator's store that accounts need.
type Store interface {
	PersonByID(ctx context.Context, id string) (store.Person, error)
	PersonByLogin(ctx context.Context, login string) (store.Person, error)
	PersonByHandle(ctx context.Context, handle []byte) (store.Person, error)
	People(ctx context.Context) ([]store.Person, error)
	AddPerson(ctx context.Context, p store.Person, codes [][32]byte, invitation [32]byte, now time.Time) error
	ChangePerson(ctx context.Context, id string, change func(p *store.Person, all []store.Person) error) error
	DeletePerson(ctx context.Context, id string, check func(p *store.Person, all []store.Person) error) error
	ReplaceCodes(ctx context.Context, person string, codes [][32]byte) error
	UseCode(ctx context.Context, person string, code [32]byte) error
	CodesLeft(ctx context.Context, person string) (int, error)
	Passkeys(ctx context.Context, person string) ([]store.Passkey, error)
	SavePasskey(ctx context.Context, k store.Passkey) error
	RemovePasskey(ctx context.Context, person string, id []byte) error

	WebSession(ctx context.Context, hash string) (store.WebSession, bool, error)
	SaveWebSession(ctx context.Context, w store.WebSession) error
	TouchWebSession(ctx context.Context, hash string, now time.Time) error
	EndWebSession(ctx context.Context, hash string) error
	EndWebSessions(ctx context.Context, person, but string) error

	AddInvitation(ctx context.Context, i store.Invitation) error
	InvitationByHash(ctx context.Context, hash [32]byte, now time.Time) (store.Invitation, error)
	Invitations(ctx context.Context) ([]store.Invitation, error)
	RemoveInvitation(ctx context.Context, id string) error

	AddAccessToken(ctx context.Context, t store.AccessToken) error
	AccessTokenByHash(ctx context.Context, hash [32]byte) (store.AccessToken, error)
	AccessTokens(ctx context.Context) ([]store.AccessToken, error)
	TouchAccessToken(ctx context.Context, id string, now time.Time) error
	RevokeAccessToken(ctx context.Context, id string, now time.Time) error
	SweepDoors(ctx context.Context, now time.Time, idle, keepTokens time.Duration) error

	AppendAudit(ctx context.Context, rows []store.AuditRow) error
	AuditPage(ctx context.Context, before int64, outcome string, limit int) ([]store.AuditRow, error)
	SweepAudit(ctx context.Context, outcome string, before time.Time, most int) error
}

// Config says whose people these are.
type Config struct {
	Community string // its name
	// Member says whether the register has a member.
	Member func(roll.MemberID) bool
	// Base is the address of the page, for links; such as https://sun.example.org.
	Base string
	// Secure: browsers reach the page by TLS alone, also where a proxy in front
	// ends it, so that cookies are for TLS only.
	Secure bool
	// MinAggregate is shown with the policy.
	MinAggregate int
	Now          func() time.Time // nil: time.Now
}

// People are a community's accounts. It serves AccountService and PeopleService.
type People struct {
	cfg     Config
	store   Store
	guard   *access.Guard
	log     *slog.Logger
	now     func() time.Time
	hasher  *hasher
	limits  *attemptLimits
	links   *limiter // of guessing links and codes, by network
	begun   *limiter // of passkeys' ceremonies, by network
	rites   *ceremonies
	audit   *auditor
	counted *counters
	plain   *scs.SessionManager
	secure  *scs.SessionManager
	working sync.WaitGroup
	stop    context.CancelFunc
}

// New returns the accounts, and makes guard ask them whose a token is and hand
// them what is for the audit log. Close them.
func New(cfg Config, s Store, guard *access.Guard, log *slog.Logger) *People {
	p := &People{cfg: cfg, store: s, guard: guard, log: log, now: cfg.Now, hasher: newHasher(), counted: &counters{}}
	if p.now == nil {
		p.now = time.Now
	}
	p.limits = newAttemptLimits(p.now)
	p.links = newLimiter(30, time.Minute, p.now)
	p.begun = newLimiter(100, time.Minute, p.now)
	p.rites = newCeremonies(p.now)
	p.audit = newAuditor(s, log, p.now, p.counted)
	p.plain, p.secure = p.sessions(false), p.sessions(true)
	guard.Bearers, guard.Recorder = p, p.audit
	ctx, cancel := context.WithCancel(context.Background())
	p.stop = cancel
	p.working.Go(func() { p.audit.run(ctx) })
	p.working.Go(func() { p.sweep(ctx) })
	return p
}

// Close ends what runs beside, and writes down what is left of the audit log.
func (p *People) Close() {
	p.stop()
	p.working.Wait()
}

// How long things are kept. The audit log's are in audit.go.
const (
	sweepEvery   = time.Hour
	keepTokens   = 365 * 24 * time.Hour // after they have expired, to be looked up
	setupFor     = time.Hour
	invitedFor   = 7 * 24 * time.Hour
	invitedMost  = 30
	mostInvited  = 500 // invitations at a time
	mostTokens   = 500
	mostPasskeys = 20 // of an account
	mostPeople   = 20_000
)

func (p *People) sweep(ctx context.Context) {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		if err := p.store.SweepDoors(ctx, p.now(), sessionIdle, keepTokens); err != nil && ctx.Err() == nil {
			p.log.Warn("sessions and links that are over could not be forgotten", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// AccountService and PeopleService are two services with the same accounts
// behind them.
type (
	// Accounts implements AccountService.
	Accounts struct {
		allmendev1.UnimplementedAccountServiceServer
		*People
	}
	// Administration implements PeopleService.
	Administration struct {
		allmendev1.UnimplementedPeopleServiceServer
		*People
	}
)

// errWrong is the one answer to a sign-in that fails, so that it tells nothing
// about which accounts there are.
var errWrong = status.Error(codes.Unauthenticated, "name and password do not fit: try again, sign in with a passkey or a recovery code, or ask a steward for a new invitation")

// answer makes an answer on the wire of an error. What is not known here is
// internal: it is logged, and not told.
func (p *People) answer(doing string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errBusy):
		p.counted.busy.Add(1)
		return status.Error(codes.ResourceExhausted, err.Error())
	case errors.Is(err, store.ErrLoginTaken):
		return status.Error(codes.AlreadyExists, store.ErrLoginTaken.Error())
	case errors.Is(err, store.ErrNoPerson):
		return status.Error(codes.NotFound, "there is no such account, link, passkey or token")
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return status.FromContextError(err).Err()
	case errors.Is(err, store.ErrNoSpace), errors.Is(err, store.ErrBusy):
		return status.Error(codes.Unavailable, "this can't be stored now: "+err.Error())
	}
	if s, ok := errors.AsType[interface {
		error
		GRPCStatus() *status.Status
	}](err); ok {
		return s.GRPCStatus().Err()
	}
	p.log.Error("an account's call failed", "doing", doing, "error", err)
	return status.Error(codes.Internal, "the coordinator could not do this; its log says why")
}

// wait refuses an attempt that comes too early.
func (p *People) wait(d time.Duration) error {
	p.counted.delayed.Add(1)
	return status.Errorf(codes.ResourceExhausted, "too many attempts: try again in %d seconds; a passkey or a recovery code may work at once", int(d.Seconds())+1)
}

// principal is an account as the policy sees it.
func (p *People) principal(a store.Person) access.Principal {
	who := access.Principal{ID: a.ID, Kind: access.Person, Member: a.Member}
	for _, r := range a.Roles {
		who.Roles = append(who.Roles, access.Role(r))
	}
	return p.guard.Policy.Grant(who)
}

// Bearer implements [access.Bearers].
func (p *People) Bearer(ctx context.Context, secret string) (access.Principal, error) {
	const longest = 200
	if len(secret) > longest {
		return access.Principal{}, access.ErrUnknown
	}
	t, err := p.store.AccessTokenByHash(ctx, digest(secret))
	if errors.Is(err, store.ErrNoPerson) {
		return access.Principal{}, access.ErrUnknown
	}
	if err != nil {
		p.log.Error("looking up a token failed", "error", err)
		return access.Principal{}, err
	}
	now := p.now()
	if !t.Revoked.IsZero() || !now.Before(t.Expires) {
		return access.Principal{}, access.ErrUnknown
	}
	const noteEvery = 5 * time.Minute
	if now.Sub(t.Used) >= noteEvery {
		if err := p.store.TouchAccessToken(ctx, t.ID, now); err != nil {
			p.log.Warn("the last use of a token could not be noted", "token", t.ID, "error", err)
		}
	}
	who := access.Principal{ID: t.ID, Kind: access.Token, Roles: []access.Role{access.RoleIntegration}, Ends: t.Expires}
	for _, s := range t.Scopes {
		who.Scopes = append(who.Scopes, access.Scope(s))
	}
	return p.guard.Policy.Grant(who), nil
}

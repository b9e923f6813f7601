// SPDX-License-Identifier: AGPL-3.0-or-later

package store_test

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/allmende-energy/allmende/coordinator/store"
)

// Accounts and what opens them, on each engine: what goes in comes out.
func TestAccounts(t *testing.T) { onEach(t, testAccounts) }

func testAccounts(t *testing.T, on engine) {
	ctx := context.Background()
	s, _ := fresh(t, on)
	now := day0.Time()
	later := now.Add(time.Hour)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	wants := func(got, want any) {
		t.Helper()
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%+v, expected %+v", got, want)
		}
	}
	link := store.Invitation{ID: "i1", Hash: [32]byte{1}, Setup: true, Note: "Zoë", Roles: []string{"member", "steward"}, Member: "home-01", By: "local", Created: now.Local(), Expires: later.Local()}
	must(s.AddInvitation(ctx, link))
	got, err := s.InvitationByHash(ctx, link.Hash, now)
	must(err)
	wants(got, link)
	p := store.Person{ID: "p1", Login: "zoë", Name: "Zoë", Member: "home-01", Roles: link.Roles, Password: "$argon2id$", Handle: []byte{7, 0, 255}, Created: now.Local()}
	codes := [][32]byte{{1}, {2}}
	must(s.AddPerson(ctx, p, codes, link.Hash, now))
	if err := s.AddPerson(ctx, p, nil, link.Hash, now); !errors.Is(err, store.ErrNoPerson) {
		t.Errorf("a link twice: %v", err)
	}
	must(s.AddInvitation(ctx, store.Invitation{ID: "i2", Hash: [32]byte{2}, Created: now, Expires: later}))
	if err := s.AddPerson(ctx, p, nil, [32]byte{2}, now); !errors.Is(err, store.ErrLoginTaken) {
		t.Errorf("a login twice: %v", err)
	}
	for _, find := range []func() (store.Person, error){
		func() (store.Person, error) { return s.PersonByID(ctx, "p1") },
		func() (store.Person, error) { return s.PersonByLogin(ctx, "zoë") },
		func() (store.Person, error) { return s.PersonByHandle(ctx, p.Handle) },
	} {
		got, err := find()
		must(err)
		wants(got, p)
	}
	for _, login := range []string{"ZOË", "nobody", "zo\xeb", "zoë\x00"} {
		if _, err := s.PersonByLogin(ctx, login); !errors.Is(err, store.ErrNoPerson) {
			t.Errorf("%q: %v", login, err)
		}
	}
	must(s.ChangePerson(ctx, "p1", func(p *store.Person, all []store.Person) error {
		wants(len(all), 1)
		p.Generation, p.SignedIn = 3, later
		return nil
	}))
	must(s.UseCode(ctx, "p1", codes[0]))
	if err := s.UseCode(ctx, "p1", codes[0]); !errors.Is(err, store.ErrNoPerson) {
		t.Errorf("a code twice: %v", err)
	}
	left, err := s.CodesLeft(ctx, "p1")
	must(err)
	wants(left, 1)
	key := store.Passkey{ID: []byte{1, 0}, Person: "p1", Name: "phone", Credential: []byte("{}"), Created: now.Local(), Used: now.Local()}
	for range 2 {
		must(s.SavePasskey(ctx, key))
	}
	keys, err := s.Passkeys(ctx, "p1")
	must(err)
	wants(keys, []store.Passkey{key})
	session := store.WebSession{Hash: "h", Person: "p1", Data: []byte{0, 1}, Used: now.Local(), Expires: later.Local()}
	for range 2 {
		must(s.SaveWebSession(ctx, session))
	}
	found, ok, err := s.WebSession(ctx, "h")
	must(err)
	wants(found, session)
	wants(ok, true)
	token := store.AccessToken{ID: "t1", Hash: [32]byte{9}, Name: "grafana", Scopes: []string{"read"}, By: "p1", Created: now.Local(), Expires: later.Local()}
	must(s.AddAccessToken(ctx, token))
	byHash, err := s.AccessTokenByHash(ctx, token.Hash)
	must(err)
	wants(byHash, token)
	must(s.RevokeAccessToken(ctx, "t1", now))
	must(s.SweepDoors(ctx, later, time.Hour, 0))
	tokens, err := s.AccessTokens(ctx)
	must(err)
	wants(len(tokens), 0)
	must(s.DeletePerson(ctx, "p1", func(*store.Person, []store.Person) error { return nil }))
	people, err := s.People(ctx)
	must(err)
	wants(len(people), 0)
}

// The audit log takes what is thrown at it.
func TestAudit(t *testing.T) { onEach(t, testAudit) }

func testAudit(t *testing.T, on engine) {
	ctx := context.Background()
	s, _ := fresh(t, on)
	row := store.AuditRow{At: day0.Time(), Kind: "none", Who: "a\x00b\xff", Origin: "127.0.0.1", Act: "sign in", Outcome: "denied", Times: 2}
	if err := s.AppendAudit(ctx, []store.AuditRow{row, row, row, row}); err != nil {
		t.Fatal(err)
	}
	for _, outcome := range []string{"", "denied"} {
		page, err := s.AuditPage(ctx, 4, outcome, 2)
		if err != nil || len(page) != 2 || page[0].ID != 3 || page[0].Who != "a\uFFFDb\uFFFD" {
			t.Errorf("%+v, %v", page, err)
		}
	}
	if err := s.SweepAudit(ctx, "denied", day0.Time(), 2); err != nil {
		t.Fatal(err)
	}
	if page, err := s.AuditPage(ctx, 0, "", 10); err != nil || len(page) != 2 || page[1].ID != 3 {
		t.Errorf("%+v, %v", page, err)
	}
}

// SPDX-License-Identifier: AGPL-3.0-or-later

package coordinator

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/allmende-energy/allmende/dashboards"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

// sixHomes is a community in which everybody could be seen, and may not be.
func sixHomes() string {
	var b strings.Builder
	b.WriteString("id: sunny-lane\nname: Sunny Lane\ntimezone: Europe/Vienna\nmembers:\n")
	names := []string{"anna", "ben", "cleo", "dora", "emil", "fay"}
	for _, n := range names {
		fmt.Fprintf(&b, "  - {id: %s, name: Household %s}\n", n, n)
	}
	b.WriteString("connections: [{id: village, kind: public_grid}]\nsites:\n")
	for _, n := range names {
		fmt.Fprintf(&b, "  - {id: %s-home, member: %s, connection: village}\n", n, n)
	}
	b.WriteString("assets:\n")
	for _, n := range names {
		fmt.Fprintf(&b, "  - {id: %s-meter, kind: meter, site: %s-home, gateway: gw-a}\n", n, n)
	}
	b.WriteString("gateways: [{id: gw-a, name: A}]\n")
	return b.String()
}

// bearer sends a token instead of a cookie.
func bearer(token string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token); r.Header.Del("Cookie") }
}

// dialGRPC is a caller of gRPC with a token.
func (c *Coordinator) dialGRPC(t *testing.T, token string) (context.Context, *grpc.ClientConn) {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+c.Addresses().GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	ctx := t.Context()
	if token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
	}
	return ctx, conn
}

// firstEvent is the data of an event stream's first event, and the rest of the stream.
func (b *browser) firstEvent() (string, *bufio.Scanner) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, b.base+"/v1/live/events", nil)
	if err != nil {
		b.t.Fatal(err)
	}
	res, err := b.http.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { res.Body.Close() })
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			return data, lines
		}
	}
	b.t.Fatalf("no event: %s", res.Status)
	return "", nil
}

// A member sees her own curve and nobody else's, by whatever way she asks.
func TestAMemberSeesNoNeighbour(t *testing.T) {
	c := inService(t, folder(t, sixHomes()))
	stella := c.found(t)
	anna := c.invite(t, stella, "anna.a", "anna", "member")
	stella.refused(400, "no member", "POST", "/v1/invitations", fields{"roles": []string{"member"}, "memberId": "nobody"})

	only := func(what, text string) {
		t.Helper()
		if !strings.Contains(text, "anna") {
			t.Errorf("%s: her own row is not there: %s", what, text)
		}
		for _, neighbour := range []string{"ben", "cleo", "dora", "emil", "fay"} {
			if strings.Contains(text, neighbour) {
				t.Errorf("%s shows %s: %s", what, neighbour, text)
			}
		}
	}
	code, text := anna.do("GET", "/v1/live", nil)
	if code != http.StatusOK {
		t.Fatal(code, text)
	}
	only("REST", text)
	for _, guess := range []string{"?memberId=ben", "?member_id=ben", "?members.memberId=ben"} {
		if _, text := anna.do("GET", "/v1/live"+guess, nil); strings.Contains(text, "ben") {
			t.Errorf("/v1/live%s: %s", guess, text)
		}
	}
	event, _ := anna.firstEvent()
	only("events", event)
	// A token for the present sees nobody, by gRPC as by REST.
	token := stella.must("POST", "/v1/tokens", fields{"name": "screen", "scopes": []string{"live"}})["secret"].(string)
	ctx, conn := c.dialGRPC(t, token)
	client := allmendev1.NewCommunityServiceClient(conn)
	live, err := client.GetLive(ctx, &allmendev1.GetLiveRequest{})
	if err != nil || len(live.GetMembers()) > 0 || live.GetFlow() == nil {
		t.Errorf("a screen sees %v, %v", live, err)
	}
	stream, err := client.WatchLive(ctx, &allmendev1.WatchLiveRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if live, err := stream.Recv(); err != nil || len(live.GetMembers()) > 0 {
		t.Errorf("a screen watches %v, %v", live, err)
	}
	if community, err := client.GetCommunity(ctx, &allmendev1.GetCommunityRequest{}); err != nil || len(community.GetMembers())+len(community.GetSites())+len(community.GetAssets()) > 0 {
		t.Errorf("a screen reads the roll: %v, %v", community, err)
	}
	// Who answers for the books sees everybody.
	if _, text := stella.do("GET", "/v1/live", nil); !strings.Contains(text, "ben") {
		t.Errorf("the treasurer sees %s", text)
	}
}

// Who only looks changes nothing, whatever she sends.
func TestAnObserverChangesNothing(t *testing.T) {
	c := inService(t, folder(t, sixHomes()))
	stella := c.found(t)
	olga := c.invite(t, stella, "olga", "", "observer")
	anna := c.invite(t, stella, "anna", "anna", "member")
	me := stella.must("GET", "/v1/me", nil)["personId"].(string)
	for _, who := range []*browser{olga, anna} {
		for _, x := range []struct {
			method, path string
			body         any
		}{
			{"POST", "/v1/gateways/gw-a/enrolment-token", fields{}},
			{"POST", "/v1/invitations", fields{"roles": []string{"member"}}},
			{"POST", "/v1/tokens", fields{"name": "x", "scopes": []string{"live"}}},
			{"PATCH", "/v1/people/" + me, fields{"disabled": true}},
			{"DELETE", "/v1/people/" + me, nil},
			{"GET", "/v1/people", nil},
			{"GET", "/v1/audit", nil},
			{"GET", "/v1/gateways", nil},
		} {
			who.refused(403, "your account may not do this", x.method, x.path, x.body)
			// Headers that other software takes for the method, or for metadata, do nothing.
			who.refused(403, "your account may not do this", x.method, x.path, x.body, func(r *http.Request) {
				for _, h := range []string{"X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-Method"} {
					r.Header.Set(h, "GET")
				}
				r.Header.Set("Grpc-Metadata-Authorization", "Bearer x")
				r.Header.Set("Grpc-Metadata-X-Role", "steward")
				r.Header.Set("Grpcgateway-Authorization", "Bearer x")
				r.Header.Set("X-Forwarded-For", "127.0.0.1")
				r.Header.Set("X-Forwarded-User", "stella")
			})
		}
	}
	olga.refused(403, "leaves.read", "GET", "/v1/ledger/leaves", nil)
	// GET stays GET: no override makes a reading call a changing one.
	stella.refused(501, "Method Not Allowed", "GET", "/v1/gateways/gw-a/enrolment-token", nil, func(r *http.Request) { r.Header.Set("X-HTTP-Method-Override", "POST") })
	if people := stella.must("GET", "/v1/people", nil)["people"].([]any); len(people) != 3 {
		t.Errorf("%d people", len(people))
	}
}

// A sign-in that fails tells nothing, becomes slow, and locks nobody out.
func TestGuessingPasswords(t *testing.T) {
	c := inService(t, folder(t, twoHomes))
	stella := c.found(t)
	eve := c.browser(t)
	wrong := func(login string) (int, string) {
		return eve.do("POST", "/v1/sign-in", fields{"login": login, "password": "not her password"})
	}
	code1, text1 := wrong("stella")
	code2, text2 := wrong("nobody.at.all")
	if code1 != 401 || code1 != code2 || text1 != text2 {
		t.Errorf("a wrong password answers %d %s, an unknown name %d %s", code1, text1, code2, text2)
	}
	code, text := 0, ""
	tries := 1
	for ; tries < 20 && code != 429; tries++ {
		code, text = wrong("stella")
	}
	if code != 429 || tries > 8 || !strings.Contains(text, "try again in") {
		t.Errorf("after %d tries: %d %s", tries, code, text)
	}
	// Also the right password waits its turn, so that a guess shows nothing.
	eve.refused(429, "try again in", "POST", "/v1/sign-in", fields{"login": "stella", "password": goodPassword})
	// The sessions there are go on, and a recovery code is not held up.
	codes := stella.must("POST", "/v1/me/recovery-codes", fields{})["codes"].([]any)
	c.browser(t).must("POST", "/v1/sign-in/recovery", fields{"login": "stella", "code": codes[0]})
	// Many at once: no more than a few are hashed, the rest are told to wait.
	results := make(chan int, 60)
	for range cap(results) {
		go func() {
			code, _ := eve.do("POST", "/v1/sign-in", fields{"login": fmt.Sprint("user", len(results)), "password": "x"})
			results <- code
		}()
	}
	for range cap(results) {
		if code := <-results; code != 401 && code != 429 {
			t.Errorf("a flood is answered %d", code)
		}
	}
}

// What another site's page can make a browser send changes nothing.
func TestForgedRequests(t *testing.T) {
	c := inService(t, folder(t, twoHomes))
	stella := c.found(t)
	evil := func(h, v string) func(*http.Request) { return func(r *http.Request) { r.Header.Set(h, v) } }
	for _, path := range []string{"/v1/sign-out", "/v1/invitations", "/v1/sign-in", "/v1/me/password", "/v1/link/accept"} {
		stella.refused(403, "", "POST", path, fields{}, evil("Sec-Fetch-Site", "cross-site"))
		stella.refused(403, "", "POST", path, fields{}, evil("Sec-Fetch-Site", "same-site"))
		stella.refused(403, "", "POST", path, fields{}, func(r *http.Request) {
			r.Header.Del("Sec-Fetch-Site") // an old browser
			r.Header.Set("Origin", "http://evil.example.org")
		})
		stella.refused(415, "application/json", "POST", path, fields{}, evil("Content-Type", "text/plain"))
		stella.refused(415, "application/json", "POST", path, fields{}, evil("Content-Type", "application/x-www-form-urlencoded"))
	}
	stella.must("GET", "/v1/people", nil)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, stella.base+"/v1/sign-in",
		strings.NewReader(fmt.Sprintf(`{"login":"stella","password":%q}`, goodPassword)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := (&http.Client{Transport: stella.http.Transport}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	cookie := res.Header.Get("Set-Cookie")
	for _, want := range []string{"allmende_session=", "HttpOnly", "SameSite=Strict", "Path=/"} {
		if !strings.Contains(cookie, want) {
			t.Errorf("the cookie lacks %s: %s", want, cookie)
		}
	}
}

// A session that somebody slipped in before the sign-in is worth nothing after.
func TestSessionFixation(t *testing.T) {
	c := inService(t, folder(t, twoHomes))
	c.found(t)
	eve := c.browser(t)
	planted := strings.Repeat("A", 43)
	victim := c.browser(t)
	code, _ := victim.do("POST", "/v1/sign-in", fields{"login": "stella", "password": goodPassword}, func(r *http.Request) {
		r.Header.Set("Cookie", "allmende_session="+planted)
	})
	if code != http.StatusOK || victim.session() == nil || victim.session().Value == planted {
		t.Fatalf("signed in with %d, session %v", code, victim.session())
	}
	eve.refused(401, "sign in", "GET", "/v1/people", nil, func(r *http.Request) { r.Header.Set("Cookie", "allmende_session="+planted) })
	// Nor does the session from before a second sign-in go on.
	before := victim.session().Value
	victim.must("POST", "/v1/sign-in", fields{"login": "stella", "password": goodPassword})
	if victim.session().Value == before {
		t.Error("a second sign-in keeps the session's token")
	}
	eve.refused(401, "sign in", "GET", "/v1/people", nil, func(r *http.Request) { r.Header.Set("Cookie", "allmende_session="+before) })
	// After the sign-out a copy of the cookie opens nothing.
	last := victim.session().Value
	victim.must("POST", "/v1/sign-out", fields{})
	eve.refused(401, "sign in", "GET", "/v1/people", nil, func(r *http.Request) { r.Header.Set("Cookie", "allmende_session="+last) })
}

// What people write into names comes back as data, to pages that run no script
// but their own.
func TestStoredScripts(t *testing.T) {
	c := inService(t, folder(t, twoHomes))
	stella := c.found(t)
	const script = `</script><script>alert(1)</script><img src=x onerror=alert(1)>`
	stella.must("POST", "/v1/invitations", fields{"roles": []string{"member"}, "note": script})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, stella.base+"/v1/invitations", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := stella.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	if kind := res.Header.Get("Content-Type"); kind != "application/json" || res.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("content type %q", kind)
	}
	csp := res.Header.Get("Content-Security-Policy")
	if strings.Contains(csp, "unsafe") || !strings.Contains(csp, "default-src 'self'") || !strings.Contains(csp, "base-uri 'none'") {
		t.Errorf("policy %q", csp)
	}
	var list struct{ Invitations []struct{ Note string } }
	if err := json.Unmarshal(body, &list); err != nil || list.Invitations[0].Note != script {
		t.Errorf("%s, %v", body, err)
	}
	stella.refused(400, "can't be shown", "POST", "/v1/invitations", fields{"roles": []string{"member"}, "note": "a\x1b[2Jb"})
	stella.refused(400, "can't be shown", "POST", "/v1/invitations", fields{"roles": []string{"member"}, "note": "evil\u202egnp.exe"})
}

func TestPathTraversal(t *testing.T) {
	cfg, err := Load(folder(t, twoHomes))
	if err != nil {
		t.Fatal(err)
	}
	cfg.Page = dashboards.Handler(nil)
	c := startWith(t, cfg)
	for _, path := range []string{
		"/../../../../etc/passwd", "/..%2f..%2f..%2f..%2fetc%2fpasswd", "/%2e%2e/%2e%2e/etc/passwd", "/assets/..%5c..%5cetc",
		"/assets/../../data/ledger.db", "//etc/passwd", "/.%00./etc/passwd", "/v1/../data/ledger.db", "/data/ledger.db", "/allmende.yaml",
	} {
		conn, err := net.Dial("tcp", c.Addresses().HTTP)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", path) // as it is: a client would tidy it up
		answer, _ := io.ReadAll(conn)
		conn.Close()
		for _, secret := range []string{"root:", "SQLite format", "gateways: {listen"} {
			if strings.Contains(string(answer), secret) {
				t.Errorf("%s answers %.300s", path, answer)
			}
		}
		if len(answer) == 0 {
			t.Errorf("%s is not answered", path)
		}
	}
}

// Large messages are refused before they are held.
func TestOversizedMessages(t *testing.T) {
	c := inService(t, folder(t, twoHomes))
	stella := c.found(t)
	big := strings.Repeat("x", 8<<20)
	before := allocated()
	stella.refused(400, "", "POST", "/v1/sign-in", fields{"login": big, "password": big})
	stella.refused(400, "", "POST", "/v1/invitations", fields{"note": big})
	ctx, conn := c.dialGRPC(t, "")
	_, err := allmendev1.NewPeopleServiceClient(conn).CreateInvitation(ctx, &allmendev1.CreateInvitationRequest{Note: big})
	if code := status.Code(err); code != codes.ResourceExhausted && code != codes.Unauthenticated {
		t.Errorf("gRPC: %v", err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, stella.base+"/v1/me", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Padding", strings.Repeat("x", 1<<20))
	if res, err := stella.http.Do(req); err == nil {
		res.Body.Close()
		if res.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("large headers: %s", res.Status)
		}
	}
	// The test's own copies are in it as well: the bound is loose.
	if grown := allocated() - before; grown > 300<<20 {
		t.Errorf("%d MiB were allocated for a few refusals", grown>>20)
	}
}

func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

func TestAccessTokens(t *testing.T) {
	c := inService(t, folder(t, sixHomes()))
	stella := c.found(t)
	theo := c.invite(t, stella, "theo", "", "treasurer")
	sten := c.invite(t, stella, "sten", "", "steward")
	// Nobody gives what she has not.
	sten.refused(403, "curves.read", "POST", "/v1/tokens", fields{"name": "x", "scopes": []string{"curves"}})
	theo.refused(403, "metrics.read", "POST", "/v1/tokens", fields{"name": "x", "scopes": []string{"monitoring"}})
	theo.refused(400, "no scope", "POST", "/v1/tokens", fields{"name": "x", "scopes": []string{"everything"}})
	theo.refused(400, "at least one", "POST", "/v1/tokens", fields{"name": "x"})
	theo.refused(400, "valid_days", "POST", "/v1/tokens", fields{"name": "x", "scopes": []string{"live"}, "validDays": 10_000})

	made := sten.must("POST", "/v1/tokens", fields{"name": "monitoring", "scopes": []string{"monitoring"}})
	secret, id := made["secret"].(string), made["token"].(map[string]any)["tokenId"].(string)
	if !strings.HasPrefix(secret, "alm_") || len(secret) < 50 {
		t.Errorf("token %q", secret)
	}
	program := c.browser(t)
	with := bearer(secret)
	if code, text := program.do("GET", "/v1/gateways", nil, with); code != http.StatusOK {
		t.Errorf("in scope: %d %s", code, text)
	}
	program.refused(403, "live.read", "GET", "/v1/live", nil, with)
	program.refused(403, "signed-in", "POST", "/v1/me/password", fields{"newPassword": "something else entirely"}, with)
	program.refused(401, "not signed in", "GET", "/v1/gateways", nil, bearer(secret+"x"))
	program.refused(401, "not signed in", "GET", "/v1/gateways", nil, bearer(id))
	// A token beside a cookie counts alone.
	stella.refused(403, "people.read", "GET", "/v1/people", nil, bearer(secret))

	list := sten.must("GET", "/v1/tokens", nil)["tokens"].([]any)
	first := list[0].(map[string]any)
	if len(list) != 1 || first["usedUnixMs"] == "0" || strings.Contains(fmt.Sprint(list), secret) {
		t.Errorf("tokens: %v", list)
	}
	// Revoked, it ends what it has open.
	screen := stella.must("POST", "/v1/tokens", fields{"name": "screen", "scopes": []string{"live"}})
	ctx, conn := c.dialGRPC(t, screen["secret"].(string))
	stream, err := allmendev1.NewCommunityServiceClient(conn).WatchLive(ctx, &allmendev1.WatchLiveRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	stella.must("DELETE", "/v1/tokens/"+screen["token"].(map[string]any)["tokenId"].(string), nil)
	for err == nil {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.Unauthenticated {
		t.Errorf("a revoked token's stream ended with %v", err)
	}
	if _, err := allmendev1.NewCommunityServiceClient(conn).GetLive(ctx, &allmendev1.GetLiveRequest{}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("a revoked token: %v", err)
	}
}

// What somebody loses, she loses at once, also where she is looking.
func TestLosingRights(t *testing.T) {
	c := inService(t, folder(t, sixHomes()))
	stella := c.found(t)
	anna := c.invite(t, stella, "anna", "anna", "member")
	id := anna.must("GET", "/v1/me", nil)["personId"].(string)
	_, lines := anna.firstEvent()
	stella.must("PATCH", "/v1/people/"+id, fields{"disabled": true})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for lines.Scan() {
		}
	}()
	select {
	case <-ended:
	case <-time.After(2 * time.Minute):
		t.Error("a disabled account still watches")
	}
	anna.refused(401, "sign in", "GET", "/v1/live", nil)
	anna.refused(401, "do not fit", "POST", "/v1/sign-in", fields{"login": "anna", "password": goodPassword})
	stella.must("PATCH", "/v1/people/"+id, fields{"disabled": false})
	anna.refused(401, "sign in", "GET", "/v1/live", nil) // the old session stays ended
	anna.must("POST", "/v1/sign-in", fields{"login": "anna", "password": goodPassword})
	// Another role counts with the next call.
	stella.must("PATCH", "/v1/people/"+id, fields{"changeRoles": true, "roles": []string{"observer"}})
	anna.refused(403, "leaves.read", "GET", "/v1/ledger/leaves", nil)
	// Everywhere is everywhere.
	second := c.browser(t)
	second.must("POST", "/v1/sign-in", fields{"login": "anna", "password": goodPassword})
	second.must("POST", "/v1/sign-out", fields{"everywhere": true})
	anna.refused(401, "sign in", "GET", "/v1/live", nil)
	// A deleted account is gone.
	stella.must("DELETE", "/v1/people/"+id, nil)
	anna.refused(401, "do not fit", "POST", "/v1/sign-in", fields{"login": "anna", "password": goodPassword})
}

// Nobody gives a role that she may not give, nor takes one.
func TestInvitingAboveOneself(t *testing.T) {
	c := inService(t, folder(t, sixHomes()))
	stella := c.found(t)
	theo := c.invite(t, stella, "theo", "", "treasurer")
	for _, role := range []string{"steward", "treasurer", "installer", "observer"} {
		theo.refused(403, "may not give the role "+role, "POST", "/v1/invitations", fields{"roles": []string{"member", role}})
	}
	for _, role := range []string{"local", "visitor", "integration", "emperor"} {
		stella.refused(400, "no role", "POST", "/v1/invitations", fields{"roles": []string{role}})
	}
	stella.refused(400, "at least one", "POST", "/v1/invitations", fields{})
	anna := c.invite(t, theo, "anna", "anna", "member")
	me := anna.must("GET", "/v1/me", nil)
	anna.refused(403, "people.manage", "PATCH", "/v1/people/"+me["personId"].(string), fields{"changeRoles": true, "roles": []string{"steward"}})
	// The link says which role; who accepts it has no say.
	link := theo.must("POST", "/v1/invitations", fields{"roles": []string{"member"}})["url"].(string)
	eve := c.browser(t)
	eve.must("POST", "/v1/link/accept", fields{"secret": secretOf(t, link), "login": "eve", "password": goodPassword})
	if roles := eve.must("GET", "/v1/me", nil)["roles"].([]any); len(roles) != 1 || roles[0] != "member" {
		t.Errorf("roles %v", roles)
	}
	c.browser(t).refused(409, "taken", "POST", "/v1/link/accept", fields{
		"secret": secretOf(t, theo.must("POST", "/v1/invitations", fields{"roles": []string{"member"}})["url"].(string)),
		"login":  "EVE", "password": goodPassword,
	})
	// Only the operator makes setup links, and the last steward stays.
	ctx, conn := c.dialGRPC(t, "")
	if _, err := allmendev1.NewPeopleServiceClient(conn).CreateSetupLink(ctx, &allmendev1.CreateSetupLinkRequest{}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("a stranger's setup link: %v", err)
	}
	id := stella.must("GET", "/v1/me", nil)["personId"].(string)
	stella.refused(400, "last steward", "PATCH", "/v1/people/"+id, fields{"disabled": true})
	stella.refused(400, "last steward", "DELETE", "/v1/people/"+id, nil)
}

// The audit log tells what was refused and changed, and a flood doesn't fill it.
func TestAuditLog(t *testing.T) {
	c := inService(t, folder(t, twoHomes))
	stella := c.found(t)
	olga := c.invite(t, stella, "olga", "", "observer")
	for range 200 {
		olga.do("DELETE", "/v1/people/p-somebody", nil)
	}
	for i := range 300 {
		olga.do("GET", "/v1/people", nil, bearer(fmt.Sprint("alm_guess", i)))
	}
	entries := stella.must("GET", "/v1/audit?pageSize=1000", nil)["entries"].([]any)
	acts := map[string]string{}
	for _, e := range entries {
		x := e.(map[string]any)
		acts[fmt.Sprint(x["act"], " ", x["outcome"], " ", x["whoName"])] = fmt.Sprint(x["times"], " ", x["object"])
	}
	if len(entries) > 30 {
		t.Errorf("500 refusals became %d entries", len(entries))
	}
	for act, want := range map[string]string{
		"/allmende.v1.PeopleService/DeletePerson denied olga":     "200 person p-somebody",
		"/allmende.v1.PeopleService/CreateInvitation done Stella": "1 ",
		"/allmende.v1.AccountService/AcceptLink done ":            "1 ",
		"GET /v1/people denied ":                                  "300 ",
	} {
		if acts[act] != want {
			t.Errorf("%s: %q, expected %q in %v", act, acts[act], want, acts)
		}
	}
	if text := fmt.Sprint(entries); strings.Contains(text, "alm_guess") || strings.Contains(text, goodPassword) {
		t.Error("the audit log holds secrets")
	}
}

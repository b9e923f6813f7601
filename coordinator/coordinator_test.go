// SPDX-License-Identifier: AGPL-3.0-or-later

package coordinator

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/allmende-energy/allmende/charters"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/internal/worldtime"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		http.DefaultClient.CloseIdleConnections()
		os.Exit(code)
	}))
}

const (
	minute  = energy.Minute
	quarter = energy.QuarterHour
	dawn    = energy.Instant(1_780_012_800_000) // 2026-05-29T00:00:00Z, a quarter-hour's start
)

// two homes, a gateway each.
const twoHomes = `
id: sunny-lane
name: Sunny Lane
timezone: Europe/Vienna
members: [{id: anna}, {id: ben}]
connections: [{id: village, kind: public_grid}]
sites:
  - {id: anna-home, member: anna, connection: village}
  - {id: ben-home, member: ben, connection: village}
assets:
  - {id: anna-meter, kind: meter, site: anna-home, gateway: gw-a}
  - {id: anna-roof, kind: inverter, site: anna-home, gateway: gw-a}
  - {id: ben-meter, kind: meter, site: ben-home, gateway: gw-b}
gateways: [{id: gw-a, name: A}, {id: gw-b}]
`

// world is a stepped world in which the test takes part: it moves only as far
// as the test lets it.
type world struct {
	t     *testing.T
	clock *worldtime.Stepped
	part  worldtime.Participant
}

func newWorld(t *testing.T, start energy.Instant) *world {
	t.Helper()
	w := &world{t: t, clock: worldtime.NewStepped(start, 0, 2)}
	w.part = w.clock.Join("test")
	t.Cleanup(w.part.Leave)
	return w
}

func (w *world) until(at energy.Instant) {
	w.t.Helper()
	if _, err := w.part.WaitUntil(w.t.Context(), at); err != nil {
		w.t.Fatal(err)
	}
}

// folder writes the files of a community whose listeners take any free port.
func folder(t *testing.T, community string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"allmende.yaml":  "http: {listen: \"127.0.0.1:0\"}\ngrpc: {listen: \"127.0.0.1:0\"}\ngateways: {listen: \"127.0.0.1:0\"}\nlive: {tick: 1m, stale_after: 2m, setpoint_ttl: 2m}\n",
		"community.yaml": community,
		"charter.yaml":   string(charters.Templates()[0].YAML),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Prepare(cfg); err != nil {
		t.Fatal(err)
	}
	return dir
}

func testLog(t *testing.T) *slog.Logger {
	t.Helper()
	return slog.New(slog.NewTextHandler(t.Output(), nil))
}

// start runs the coordinator of a folder until the test ends, or Stop.
func start(t *testing.T, dir string, w *world) *Coordinator {
	t.Helper()
	cfg, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Simulated = true
	c, err := Start(t.Context(), cfg, w.clock, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// get reads REST into v.
func get(t *testing.T, c *Coordinator, path string, v any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+c.Addresses().HTTP+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %d %s %v", path, res.StatusCode, b, err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatalf("GET %s: %v in %s", path, err, b)
	}
}

type live struct {
	Sequence           string
	AtUnixMs           string
	SettledUntilUnixMs string
	LedgerSize         string
	Flow               struct{ ProductionMilliwatts, SharedMilliwatts, ConsumptionMilliwatts string }
	Gateways           []gatewayHealth
}

type gatewayHealth struct {
	GatewayId, Problem  string
	Connected, Enrolled bool
}

type intervals struct {
	Intervals []struct {
		StartUnixMs, LeafIndex string
		Revision               int
		Complete               bool
		Pools                  []struct{ SupplyMilliwattHours, DemandMilliwattHours, SharedMilliwattHours string }
	}
}

// device is a gateway's side of the wire, as simple as can be.
type device struct {
	t      *testing.T
	client allmendev1.GatewayServiceClient
	stream grpc.BidiStreamingClient[allmendev1.Uplink, allmendev1.Downlink]
	cancel context.CancelFunc
}

// enrol makes a token, checks it, and trades it for a TLS configuration.
func enrol(t *testing.T, c *Coordinator, gateway string) *tls.Config {
	t.Helper()
	text, err := c.CreateToken(t.Context(), "gw-a")
	if gateway != "gw-a" {
		text, err = c.CreateToken(t.Context(), "gw-b")
	}
	if err != nil {
		t.Fatal(err)
	}
	tok := readToken(t, text)
	key := newKey(t)
	request := signingRequest(t, key, x509.CertificateRequest{})
	client := stranger(t, tok)
	res, err := client.Enrol(t.Context(), &allmendev1.EnrolRequest{TokenSecret: tok.Secret, CsrDer: request})
	if err != nil {
		t.Fatal(err)
	}
	if res.GetGatewayId() != gateway || res.GetCommunityId() != "sunny-lane" {
		t.Fatalf("enrolled %v", res)
	}
	if _, err := client.Enrol(t.Context(), &allmendev1.EnrolRequest{TokenSecret: tok.Secret, CsrDer: signingRequest(t, newKey(t), x509.CertificateRequest{})}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("a token worked twice: %v", err)
	}
	return clientTLS(t, res.GetAuthorityDer(), res.GetCertificateDer(), key)
}

// stranger is a caller without a certificate, who knows a token.
func stranger(t *testing.T, tok token) allmendev1.GatewayServiceClient {
	t.Helper()
	return dial(t, tok.Addr, &tls.Config{MinVersion: tls.VersionTLS13, InsecureSkipVerify: true, VerifyConnection: func(s tls.ConnectionState) error {
		root := s.PeerCertificates[len(s.PeerCertificates)-1]
		if sum := sha256.Sum256(root.Raw); hex.EncodeToString(sum[:]) != tok.CA {
			return fmt.Errorf("the coordinator's authority is %x", sum)
		}
		return nil
	}})
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func signingRequest(t *testing.T, key crypto.Signer, template x509.CertificateRequest) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &template, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func clientTLS(t *testing.T, authorityDER []byte, chain [][]byte, key crypto.Signer) *tls.Config {
	t.Helper()
	ca, err := x509.ParseCertificate(authorityDER)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca)
	return &tls.Config{
		MinVersion: tls.VersionTLS13, RootCAs: pool, ServerName: "localhost",
		Certificates: []tls.Certificate{{Certificate: chain, PrivateKey: key}},
	}
}

func readToken(t *testing.T, text string) token {
	t.Helper()
	body, ok := strings.CutPrefix(text, "alm1.")
	if !ok {
		t.Fatalf("token %q", text)
	}
	raw, err := base64.RawURLEncoding.DecodeString(body)
	if err != nil {
		t.Fatal(err)
	}
	var tok token
	if err := json.Unmarshal(raw, &tok); err != nil {
		t.Fatal(err)
	}
	return tok
}

func dial(t *testing.T, addr string, cfg *tls.Config) allmendev1.GatewayServiceClient {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(credentials.NewTLS(cfg)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return allmendev1.NewGatewayServiceClient(conn)
}

// connect opens a stream and returns it with the welcome.
func connect(t *testing.T, c *Coordinator, cfg *tls.Config, spool string) (*device, *allmendev1.Welcome) {
	t.Helper()
	d := &device{t: t, client: dial(t, c.Addresses().Gateways, cfg)}
	ctx, cancel := context.WithCancel(t.Context())
	d.cancel = cancel
	t.Cleanup(cancel)
	var err error
	if d.stream, err = d.client.Connect(ctx); err != nil {
		t.Fatal(err)
	}
	d.send(&allmendev1.Uplink{Message: &allmendev1.Uplink_Hello{Hello: &allmendev1.Hello{Software: "test", SpoolId: spool}}})
	down, err := d.stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	if down.GetWelcome() == nil {
		t.Fatalf("the first message is %v", down)
	}
	return d, down.GetWelcome()
}

func (d *device) send(up *allmendev1.Uplink) {
	d.t.Helper()
	if err := d.stream.Send(up); err != nil && !errors.Is(err, io.EOF) {
		d.t.Fatal(err)
	}
}

// meter sends samples and waits for the acknowledgement of the last.
func (d *device) meter(first uint64, samples ...*allmendev1.MeterSample) {
	d.t.Helper()
	d.send(&allmendev1.Uplink{Message: &allmendev1.Uplink_Meter{Meter: &allmendev1.MeterBatch{SpoolId: "s1", FirstSequence: first, Samples: samples}}})
	want := first + uint64(len(samples)) - 1
	for {
		down, err := d.stream.Recv()
		if err != nil {
			d.t.Fatal(err)
		}
		if ack := down.GetAck(); ack != nil && ack.GetSequence() == want {
			return
		}
	}
}

// barrier waits until what was sent has been handled.
func (d *device) barrier() {
	d.t.Helper()
	d.send(&allmendev1.Uplink{Message: &allmendev1.Uplink_ClockProbe{ClockProbe: &allmendev1.ClockProbe{SentUnixMs: 5}}})
	for {
		down, err := d.stream.Recv()
		if err != nil {
			d.t.Fatal(err)
		}
		if r := down.GetClockReply(); r != nil {
			if r.GetSentUnixMs() != 5 {
				d.t.Errorf("clock reply %v", r)
			}
			return
		}
	}
}

// ended waits for the stream's end and returns why.
func (d *device) ended() error {
	for {
		if _, err := d.stream.Recv(); err != nil {
			return err
		}
	}
}

func reading(asset, register string, at energy.Instant, wh int64) *allmendev1.MeterSample {
	return &allmendev1.MeterSample{AssetId: asset, Register: register, AtUnixMs: int64(at), ValueMilliwattHours: wh * 1000, SocPermille: -1}
}

// quarterHours are the samples of gateway A at so many boundaries: Anna makes
// 1000 Wh, feeds in 600 and takes nothing in each.
func quarterHoursA(first energy.Instant, k, n int64) (out []*allmendev1.MeterSample) {
	for i := k; i < k+n; i++ {
		at := first.Add(quarter * energy.Span(i))
		out = append(out, reading("anna-meter", "import", at, 50), reading("anna-meter", "export", at, 600*i), reading("anna-roof", "production", at, 1000*i))
	}
	return out
}

// quarterHoursB: Ben takes 250 Wh in each.
func quarterHoursB(first energy.Instant, k, n int64) (out []*allmendev1.MeterSample) {
	for i := k; i < k+n; i++ {
		at := first.Add(quarter * energy.Span(i))
		out = append(out, reading("ben-meter", "import", at, 250*i), reading("ben-meter", "export", at, 0))
	}
	return out
}

// settledUntil lets the world run until the ledger has settled so far.
func (w *world) settledUntil(c *Coordinator, at energy.Instant) live {
	w.t.Helper()
	var i intervals
	for range 500 {
		get(w.t, c, "/v1/intervals?pageSize=1", &i)
		if len(i.Intervals) == 1 && i.Intervals[0].StartUnixMs == fmt.Sprint(int64(at.Add(-quarter))) {
			var l live
			for range 20 { // a picture that knows it: the committer says so a moment after it is stored
				w.until(w.clock.Now().Add(minute))
				if get(w.t, c, "/v1/live", &l); l.SettledUntilUnixMs == fmt.Sprint(int64(at)) {
					return l
				}
			}
			w.t.Errorf("settled until %s, expected %d", l.SettledUntilUnixMs, at)
			return l
		}
		w.until(w.clock.Now().Add(minute))
	}
	w.t.Fatalf("not settled until %s: %+v", at, i)
	return live{}
}

func TestFromEnrolmentToLedger(t *testing.T) {
	dir, w := folder(t, twoHomes), newWorld(t, dawn)
	c := start(t, dir, w)
	idA, idB := enrol(t, c, "gw-a"), enrol(t, c, "gw-b")
	a, welcome := connect(t, c, idA, "s1")
	if welcome.GetAcknowledgedSequence() != 0 || welcome.GetEpoch() == 0 || welcome.GetCommunityId() != "sunny-lane" {
		t.Errorf("welcome %v", welcome)
	}
	firstEpoch := welcome.GetEpoch()
	b, _ := connect(t, c, idB, "s1")

	// Two quarter-hours, of which Ben's come twice and in two pieces.
	w.until(dawn.Add(2*quarter + minute))
	a.meter(1, quarterHoursA(dawn, 0, 3)...)
	b.meter(1, quarterHoursB(dawn, 0, 2)...)
	b.meter(1, quarterHoursB(dawn, 0, 2)...)
	b.meter(3, quarterHoursB(dawn, 1, 2)...)
	a.barrier()
	b.barrier()
	l := w.settledUntil(c, dawn.Add(2*quarter))
	if len(l.Gateways) != 2 || !l.Gateways[0].Connected || !l.Gateways[0].Enrolled {
		t.Errorf("gateways %+v", l.Gateways)
	}
	var got intervals
	get(t, c, "/v1/intervals", &got)
	if len(got.Intervals) != 2 {
		t.Fatalf("%d intervals", len(got.Intervals))
	}
	for _, i := range got.Intervals {
		if p := i.Pools[0]; !i.Complete || p.SupplyMilliwattHours != "600000" || p.DemandMilliwattHours != "250000" || p.SharedMilliwattHours != "250000" {
			t.Errorf("interval %+v", i)
		}
	}
	var head struct{ Size, Note, VerifierKey string }
	get(t, c, "/v1/ledger/checkpoint", &head)
	if !strings.Contains(head.Note, "simulated") || !strings.HasPrefix(head.VerifierKey, "sunny-lane+") {
		t.Errorf("checkpoint %+v", head)
	}
	var leaves struct{ LeavesJson []string }
	get(t, c, "/v1/ledger/leaves", &leaves)
	if len(leaves.LeavesJson) != 3 || !strings.Contains(leaves.LeavesJson[0], `"founding"`) {
		t.Errorf("leaves %q", leaves.LeavesJson)
	}

	// A restart goes on where it stopped; what was acknowledged is there, what is
	// settled is not settled again, and late data settle what follows.
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	c = start(t, dir, w)
	if get(t, c, "/v1/live", &l); l.LedgerSize != "3" || l.SettledUntilUnixMs != fmt.Sprint(int64(dawn.Add(2*quarter))) {
		t.Errorf("after the restart: %+v", l)
	}
	a, welcome = connect(t, c, idA, "s1")
	if welcome.GetAcknowledgedSequence() != 9 || welcome.GetEpoch() <= firstEpoch {
		t.Errorf("welcome after the restart %v", welcome)
	}
	b, _ = connect(t, c, idB, "s1")
	w.until(dawn.Add(3*quarter + minute))
	a.meter(10, quarterHoursA(dawn, 3, 1)...)
	b.meter(7, quarterHoursB(dawn, 3, 1)...)
	a.barrier()
	b.barrier()
	w.settledUntil(c, dawn.Add(3*quarter))
	get(t, c, "/v1/intervals", &got)
	if len(got.Intervals) != 3 || got.Intervals[0].Pools[0].SharedMilliwattHours != "250000" || got.Intervals[2].Revision != 0 {
		t.Errorf("intervals after the restart %+v", got)
	}
}

func TestAGatewayReportsForItselfOnly(t *testing.T) {
	dir, w := folder(t, twoHomes), newWorld(t, dawn)
	c := start(t, dir, w)
	idA, idB := enrol(t, c, "gw-a"), enrol(t, c, "gw-b")
	a, _ := connect(t, c, idA, "s1")
	b, _ := connect(t, c, idB, "s1")
	w.until(dawn.Add(quarter + minute))
	a.meter(1, quarterHoursA(dawn, 0, 2)...)
	// Gateway B claims that Anna fed in a megawatt-hour.
	b.meter(1, append(quarterHoursB(dawn, 0, 2), reading("anna-meter", "export", dawn.Add(quarter), 1_000_000), reading("no-such", "import", dawn, 1))...)
	var list struct {
		Gateways []struct{ Health gatewayHealth }
	}
	get(t, c, "/v1/gateways", &list)
	if p := list.Gateways[1].Health.Problem; !strings.Contains(p, "2 of its meter samples") || !strings.Contains(p, "anna-meter") {
		t.Errorf("the page does not say what is wrong: %q", p)
	}
	honest := func(c *Coordinator, at energy.Instant, n int) {
		t.Helper()
		w.settledUntil(c, at)
		var got intervals
		get(t, c, "/v1/intervals", &got)
		if len(got.Intervals) != n {
			t.Fatalf("%d intervals", len(got.Intervals))
		}
		for _, i := range got.Intervals {
			if i.Pools[0].SupplyMilliwattHours != "600000" || i.Revision != 0 {
				t.Errorf("the claim was counted: %+v", i)
			}
		}
	}
	honest(c, dawn.Add(quarter), 1)
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	// Nor is it counted when the inbox is read back. What follows counts.
	c = start(t, dir, w)
	a, _ = connect(t, c, idA, "s1")
	b, welcome := connect(t, c, idB, "s1")
	if welcome.GetAcknowledgedSequence() != 6 {
		t.Errorf("what was set aside holds back the spool: %v", welcome)
	}
	w.until(dawn.Add(2*quarter + minute))
	a.meter(7, quarterHoursA(dawn, 2, 1)...)
	b.meter(7, quarterHoursB(dawn, 2, 1)...)
	honest(c, dawn.Add(2*quarter), 2)
	get(t, c, "/v1/gateways", &list)
	if p := list.Gateways[1].Health.Problem; p != "" {
		t.Errorf("the problem stays: %s", p)
	}
}

func TestARefusedMessageEndsTheStream(t *testing.T) {
	w := newWorld(t, dawn)
	c := start(t, folder(t, twoHomes), w)
	idB := enrol(t, c, "gw-b")
	b, _ := connect(t, c, idB, "s1")
	b.send(&allmendev1.Uplink{Message: &allmendev1.Uplink_Live{Live: &allmendev1.LiveBatch{StampMs: 1, Readings: []*allmendev1.Reading{
		{AssetId: "anna-meter", AtUnixMs: int64(dawn)},
	}}}})
	if err := b.ended(); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "live.readings[0].asset_id") {
		t.Errorf("%v", err)
	}
	var list struct {
		Gateways []struct{ Health gatewayHealth }
	}
	get(t, c, "/v1/gateways", &list)
	if !strings.Contains(list.Gateways[1].Health.Problem, "anna-meter") {
		t.Errorf("the page does not say what is wrong: %+v", list)
	}
	if p := list.Gateways[0].Health.Problem; !strings.Contains(p, "not enrolled") {
		t.Errorf("gateway A: %q", p)
	}
	for name, up := range map[string]*allmendev1.Uplink{
		"a second hello": {Message: &allmendev1.Uplink_Hello{Hello: &allmendev1.Hello{SpoolId: "s1"}}},
		"another spool":  {Message: &allmendev1.Uplink_Meter{Meter: &allmendev1.MeterBatch{SpoolId: "s2", FirstSequence: 1}}},
		"nothing":        {},
	} {
		b, _ := connect(t, c, idB, "s1")
		b.send(up)
		if err := b.ended(); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
	b, _ = connect(t, c, idB, "s1")
	b.meter(1, quarterHoursB(dawn, 0, 1)...)
	get(t, c, "/v1/gateways", &list)
	if p := list.Gateways[1].Health.Problem; p != "" {
		t.Errorf("the problem stays: %s", p)
	}
	b.send(&allmendev1.Uplink{Message: &allmendev1.Uplink_Meter{Meter: &allmendev1.MeterBatch{SpoolId: "s1", FirstSequence: 99, Samples: quarterHoursB(dawn, 0, 1)}}})
	if err := b.ended(); status.Code(err) != codes.Aborted {
		t.Errorf("a gap in the sequence: %v", err)
	}
}

func TestWhoMayConnect(t *testing.T) {
	w := newWorld(t, dawn)
	c := start(t, folder(t, twoHomes), w)
	identity := enrol(t, c, "gw-a")
	open := func(cfg *tls.Config) error {
		stream, err := dial(t, c.Addresses().Gateways, cfg).Connect(t.Context())
		if err != nil {
			return err
		}
		stream.Send(&allmendev1.Uplink{Message: &allmendev1.Uplink_Hello{Hello: &allmendev1.Hello{SpoolId: "s1"}}})
		_, err = stream.Recv()
		return err
	}
	if err := open(identity); err != nil {
		t.Errorf("the gateway itself: %v", err)
	}
	bare := identity.Clone()
	bare.Certificates = nil
	if err := open(bare); status.Code(err) != codes.PermissionDenied || !strings.Contains(err.Error(), "allmende gateway enrol") {
		t.Errorf("without a certificate: %v", err)
	}
	old := identity.Clone()
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	if err := open(old); status.Code(err) != codes.Unavailable {
		t.Errorf("TLS 1.2: %v", err)
	}
	// The same community's name, signed by another authority.
	strange := newWorld(t, dawn)
	other := start(t, folder(t, twoHomes), strange)
	foreign := enrol(t, other, "gw-a")
	foreign.RootCAs = identity.RootCAs
	if err := open(foreign); status.Code(err) != codes.Unavailable {
		t.Errorf("another authority's certificate: %v", err)
	}
	if err := open(&tls.Config{MinVersion: tls.VersionTLS13, RootCAs: foreign.RootCAs, ServerName: "elsewhere.example.org"}); status.Code(err) != codes.Unavailable {
		t.Errorf("a server of another name: %v", err)
	}
}

func TestTheSecondStreamReplacesTheFirst(t *testing.T) {
	w := newWorld(t, dawn)
	c := start(t, folder(t, twoHomes), w)
	identity := enrol(t, c, "gw-a")
	first, _ := connect(t, c, identity, "s1")
	second, _ := connect(t, c, identity, "s1")
	if err := first.ended(); status.Code(err) != codes.Aborted {
		t.Errorf("the first stream ended with %v", err)
	}
	second.meter(1, quarterHoursA(dawn, 0, 1)...)
	var list struct {
		Gateways []struct{ Health gatewayHealth }
	}
	if get(t, c, "/v1/gateways", &list); !list.Gateways[0].Health.Connected {
		t.Error("the end of the first stream disconnected the second")
	}
}

func TestTheLiveLane(t *testing.T) {
	w := newWorld(t, dawn)
	c := start(t, folder(t, twoHomes), w)
	a, _ := connect(t, c, enrol(t, c, "gw-a"), "s1")
	b, _ := connect(t, c, enrol(t, c, "gw-b"), "s1")
	at := int64(w.clock.Now())
	a.send(&allmendev1.Uplink{Message: &allmendev1.Uplink_Live{Live: &allmendev1.LiveBatch{StampMs: 1, Readings: []*allmendev1.Reading{
		{AssetId: "anna-meter", AtUnixMs: at, PowerMilliwatts: -600_000, SocPermille: -1}, {AssetId: "anna-roof", AtUnixMs: at, PowerMilliwatts: 1_000_000, SocPermille: -1},
	}}}})
	b.send(&allmendev1.Uplink{Message: &allmendev1.Uplink_Live{Live: &allmendev1.LiveBatch{StampMs: 1, Readings: []*allmendev1.Reading{
		{AssetId: "ben-meter", AtUnixMs: at, PowerMilliwatts: 250_000},
	}}}})
	a.barrier()
	b.barrier()
	w.until(w.clock.Now().Add(2 * minute))
	var l live
	get(t, c, "/v1/live", &l)
	if l.Flow.ProductionMilliwatts != "1000000" || l.Flow.SharedMilliwatts != "250000" || l.Flow.ConsumptionMilliwatts != "650000" {
		t.Errorf("flow %+v", l.Flow)
	}
	if l.Sequence == "0" || l.AtUnixMs == "0" {
		t.Errorf("picture %+v", l)
	}
}

func TestStartRefuses(t *testing.T) {
	dir, w := folder(t, twoHomes), newWorld(t, dawn)
	c := start(t, dir, w)
	try := func(change func(*Config)) error {
		cfg, err := Load(dir)
		if err != nil {
			return err
		}
		cfg.Simulated = true
		if change != nil {
			change(&cfg)
		}
		other, err := Start(t.Context(), cfg, worldtime.NewStepped(dawn, 0, 0), testLog(t))
		if err == nil {
			other.Stop()
		}
		return err
	}
	expect := func(err error, words ...string) {
		t.Helper()
		for _, word := range words {
			if err == nil || !strings.Contains(err.Error(), word) {
				t.Errorf("%v, expected %q", err, word)
			}
		}
	}
	_, port, _ := strings.Cut(c.Addresses().GRPC, ":")
	expect(try(func(cfg *Config) { cfg.GRPC.Listen = c.Addresses().GRPC }), "grpc", port, "ss -ltnp", "allmende.yaml, grpc.listen")
	expect(try(nil), "in use by another coordinator")
	w.until(dawn.Add(10 * minute))
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	expect(try(nil), "world time", "set the clock")
	expect(try(func(cfg *Config) { cfg.Simulated = false }), "simulated")

	expect(try(func(cfg *Config) { cfg.Roll.ID = "moon-lane" }), "sunny-lane", "moon-lane")
	write := func(name, content string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	proportional := string(charters.Templates()[1].YAML)
	write("charter.yaml", proportional)
	w2 := worldtime.NewStepped(dawn.Add(quarter), 0, 0)
	cfg, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Simulated = true
	_, err = Start(t.Context(), cfg, w2, testLog(t))
	expect(err, "is not the charter in force", "decision of the members", "allmende charter hash")

	write("charter.yaml", strings.Replace(proportional, "interval: 15m", "interval: 15m\nintervall: 15m", 1))
	write("community.yaml", strings.Replace(twoHomes, "member: ben,", "member: bob,", 1))
	_, err = Load(dir)
	expect(err, "intervall") // the register is in the database by now
	if err := os.Rename(filepath.Join(dir, "data"), filepath.Join(dir, "elsewhere")); err != nil {
		t.Fatal(err)
	}
	_, err = Load(dir)
	expect(err, "intervall", "community.yaml:9: sites[1].member", "bob")
	if err := os.Remove(filepath.Join(dir, "ledger.key")); err != nil {
		t.Fatal(err)
	}
	write("community.yaml", twoHomes)
	write("charter.yaml", string(charters.Templates()[0].YAML))
	expect(try(nil), "ledger.key", "allmende init")
}

// TestAFoundingCharterIsForSomebody: a misspelt group would share nothing, for
// good. Once in force, a charter runs also when a group's last member has left.
func TestAFoundingCharterIsForSomebody(t *testing.T) {
	dir, w := folder(t, twoHomes), newWorld(t, dawn)
	families := strings.Replace(string(charters.Templates()[0].YAML), "name: everybody", "name: families first\n      groups: [families]", 1)
	write := func(name, content string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("charter.yaml", families)
	cfg, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Simulated = true
	if _, err = Start(t.Context(), cfg, w.clock, testLog(t)); err == nil || !strings.Contains(err.Error(), `no member is in group "families"`) {
		t.Fatalf("a charter for nobody: %v", err)
	}
	withFamily := strings.Replace(twoHomes, "{id: ben", "{groups: [families], id: ben", 1)
	for _, community := range []string{withFamily, twoHomes} {
		write("community.yaml", community)
		c := start(t, dir, w)
		for size := int64(0); size == 0; { // the founding is stored a moment after the start
			if size, err = c.store.Size(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Stop(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestADemoMayBeStoppedAnytime stops coordinators right after their start.
func TestStopRightAfterStart(t *testing.T) {
	dir := folder(t, twoHomes)
	for range 3 {
		w := newWorld(t, dawn)
		c := start(t, dir, w)
		if err := c.Stop(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	cfg, err := Load(folder(t, twoHomes))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var out syncBuffer
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, cfg, worldtime.NewReal(), slog.New(slog.NewTextHandler(&out, nil))) }()
	cancel()
	if err := <-ended; err != nil && ctx.Err() == nil {
		t.Error(err)
	}
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

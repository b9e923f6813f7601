// SPDX-License-Identifier: AGPL-3.0-or-later

package coordinator

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/allmende-energy/allmende/internal/adminsocket"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

// within is how soon a revocation must be felt, on a machine that has much else to
// do: sooner than a silent stream is given up for other reasons, which is 45 s.
const within = 30 * time.Second

// wallClock is a wall clock that a test moves.
type wallClock struct{ ahead atomic.Int64 }

func (w *wallClock) now() time.Time        { return time.Now().Add(time.Duration(w.ahead.Load())) }
func (w *wallClock) move(by time.Duration) { w.ahead.Add(int64(by)) }

// startAt runs the coordinator of a folder on a wall clock that the test moves.
func startAt(t *testing.T, dir string, w *world, wall *wallClock) *Coordinator {
	t.Helper()
	cfg, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Simulated, cfg.wall = true, wall.now
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

// operator is somebody at the coordinator's own computer.
func operator(t *testing.T, c *Coordinator) allmendev1.IdentityServiceClient {
	t.Helper()
	data := c.cfg.Data
	conn, err := grpc.NewClient("passthrough:///coordinator", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return adminsocket.Dial(ctx, data) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return allmendev1.NewIdentityServiceClient(conn)
}

func certificates(t *testing.T, c *Coordinator, gateway string) []*allmendev1.GatewayCertificate {
	t.Helper()
	list, err := operator(t, c).ListGatewayCertificates(t.Context(), &allmendev1.ListGatewayCertificatesRequest{GatewayId: gateway})
	if err != nil {
		t.Fatal(err)
	}
	return list.GetCertificates()
}

// refusal is why a gateway was turned away.
func refusal(err error) allmendev1.RefusalReason {
	for _, d := range status.Convert(err).Details() {
		if r, ok := d.(*allmendev1.Refusal); ok {
			return r.GetReason()
		}
	}
	return allmendev1.RefusalReason_REFUSAL_REASON_UNSPECIFIED
}

const (
	revoked = allmendev1.RefusalReason_REFUSAL_REASON_REVOKED
	expired = allmendev1.RefusalReason_REFUSAL_REASON_EXPIRED
	ended   = allmendev1.RefusalReason_REFUSAL_REASON_ENDED
	unknown = allmendev1.RefusalReason_REFUSAL_REASON_UNKNOWN
)

// try opens a stream and returns how it went.
func try(t *testing.T, c *Coordinator, cfg *tls.Config) error {
	t.Helper()
	stream, err := dial(t, c.Addresses().Gateways, cfg).Connect(t.Context())
	if err != nil {
		return err
	}
	stream.Send(&allmendev1.Uplink{Message: &allmendev1.Uplink_Hello{Hello: &allmendev1.Hello{SpoolId: "s1"}}})
	_, err = stream.Recv()
	return err
}

func TestARevokedGatewayIsShutOutAtOnce(t *testing.T) {
	dir, w := folder(t, twoHomes), newWorld(t, dawn)
	c := start(t, dir, w)
	idA, idB := enrol(t, c, "gw-a"), enrol(t, c, "gw-b")
	a, _ := connect(t, c, idA, "s1")
	b, _ := connect(t, c, idB, "s1")
	a.meter(1, quarterHoursA(dawn, 0, 1)...)
	unused, err := c.CreateToken(t.Context(), "gw-a")
	if err != nil {
		t.Fatal(err)
	}

	begun := time.Now()
	answer, err := operator(t, c).RevokeGateway(t.Context(), &allmendev1.RevokeGatewayRequest{GatewayId: "gw-a", Reason: "stolen from the cellar"})
	if err != nil || !answer.GetDisconnected() {
		t.Fatalf("%+v %v", answer, err)
	}
	err = a.ended()
	if took := time.Since(begun); took > within || status.Code(err) != codes.PermissionDenied || refusal(err) != revoked ||
		!strings.Contains(err.Error(), "stolen from the cellar") || !strings.Contains(err.Error(), "allmende gateway token gw-a") {
		t.Errorf("the open stream ended after %s with %v", took, err)
	}
	if err := try(t, c, idA); refusal(err) != revoked {
		t.Errorf("a new stream: %v", err)
	}
	_, err = dial(t, c.Addresses().Gateways, idA).Renew(t.Context(), &allmendev1.RenewRequest{CsrDer: signingRequest(t, newKey(t), x509.CertificateRequest{})})
	if refusal(err) != revoked {
		t.Errorf("renewing: %v", err)
	}
	tok := readToken(t, unused)
	_, err = stranger(t, tok).Enrol(t.Context(), &allmendev1.EnrolRequest{TokenSecret: tok.Secret, CsrDer: signingRequest(t, newKey(t), x509.CertificateRequest{})})
	if status.Code(err) != codes.PermissionDenied {
		t.Errorf("a token from before: %v", err)
	}
	b.barrier() // the neighbour is not touched

	var list struct {
		Gateways []struct{ Health gatewayHealth }
	}
	shown := func() gatewayHealth {
		get(t, c, "/v1/gateways", &list)
		return list.Gateways[0].Health
	}
	if h := shown(); h.Connected || h.Enrolled || !strings.Contains(h.Problem, "stolen from the cellar") {
		t.Errorf("the page shows %+v", h)
	}
	if got := certificates(t, c, "gw-a"); len(got) != 1 || got[0].GetState() != "revoked" || got[0].GetReason() != "stolen from the cellar" || got[0].GetRevokedUnixMs() != answer.GetRevokedUnixMs() {
		t.Errorf("listed %+v", got)
	}

	// It holds after a restart, and a new token lets the gateway back in: with
	// its samples, and with another key.
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	c = start(t, dir, w)
	if err := try(t, c, idA); refusal(err) != revoked {
		t.Errorf("after a restart: %v", err)
	}
	if h := shown(); h.Enrolled || !strings.Contains(h.Problem, "revoked") {
		t.Errorf("after a restart the page shows %+v", h)
	}
	again := enrol(t, c, "gw-a")
	_, welcome := connect(t, c, again, "s1")
	if welcome.GetAcknowledgedSequence() != 3 {
		t.Errorf("welcome %v", welcome)
	}
	if h := shown(); !h.Connected || !h.Enrolled || h.Problem != "" {
		t.Errorf("enrolled anew, the page shows %+v", h)
	}
	if err := try(t, c, idA); refusal(err) != revoked {
		t.Errorf("the old certificate: %v", err)
	}
	all, states := certificates(t, c, ""), map[string]int{}
	for _, cert := range all {
		states[cert.GetGatewayId()+" "+cert.GetState()]++
	}
	if len(all) != 3 || states["gw-a current"] != 1 || states["gw-a revoked"] != 1 || states["gw-b current"] != 1 {
		t.Errorf("listed %+v", all)
	}
}

func TestOneCertificateIsRevoked(t *testing.T) {
	dir, w := folder(t, twoHomes), newWorld(t, dawn)
	c := start(t, dir, w)
	old, fresh := enrol(t, c, "gw-a"), enrol(t, c, "gw-a")
	a, _ := connect(t, c, fresh, "s1")
	serial := func(cfg *tls.Config) string {
		leaf, err := x509.ParseCertificate(cfg.Certificates[0].Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		return leaf.SerialNumber.Text(16)
	}
	op := operator(t, c)
	answer, err := op.RevokeGateway(t.Context(), &allmendev1.RevokeGatewayRequest{GatewayId: "gw-a", Serial: serial(old)})
	if err != nil || answer.GetDisconnected() {
		t.Fatalf("%+v %v", answer, err)
	}
	if err := try(t, c, old); refusal(err) != revoked {
		t.Errorf("the revoked one: %v", err)
	}
	a.barrier()
	for want, req := range map[codes.Code]*allmendev1.RevokeGatewayRequest{
		codes.NotFound:        {GatewayId: "gw-b", Serial: serial(old)},
		codes.InvalidArgument: {GatewayId: "gw-a/", Serial: serial(fresh)},
	} {
		if _, err := op.RevokeGateway(t.Context(), req); status.Code(err) != want {
			t.Errorf("%v: %v", req, err)
		}
	}
	if _, err := op.RevokeGateway(t.Context(), &allmendev1.RevokeGatewayRequest{GatewayId: "gw-x"}); status.Code(err) != codes.NotFound {
		t.Errorf("a gateway that there is not: %v", err)
	}
	// Who only looks on revokes nothing.
	res, err := http.Post("http://"+c.Addresses().HTTP+"/v1/gateways/gw-a/revoke", "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	if res.Body.Close(); res.StatusCode != http.StatusForbidden && res.StatusCode != http.StatusUnauthorized {
		t.Errorf("a visitor: %s", res.Status)
	}
	a.barrier()
	answer, err = op.RevokeGateway(t.Context(), &allmendev1.RevokeGatewayRequest{GatewayId: "gw-a", Serial: strings.ToUpper(serial(fresh))})
	if err != nil || !answer.GetDisconnected() {
		t.Fatalf("%+v %v", answer, err)
	}
	if err := a.ended(); refusal(err) != revoked {
		t.Errorf("the open stream: %v", err)
	}
}

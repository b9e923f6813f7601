// SPDX-License-Identifier: AGPL-3.0-or-later

package coordinator

import (
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

func TestIntegrators(t *testing.T) {
	w := newWorld(t, dawn)
	c := start(t, folder(t, twoHomes), w)
	conn, err := grpc.NewClient("passthrough:///"+c.Addresses().GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client := allmendev1.NewCommunityServiceClient(conn)

	stream, err := client.WatchLive(t.Context(), &allmendev1.WatchLiveRequest{})
	if err != nil {
		t.Fatal(err)
	}
	first, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	w.until(w.clock.Now().Add(2 * minute))
	if next, err := stream.Recv(); err != nil || next.GetSequence() != first.GetSequence()+1 {
		t.Errorf("after %d came %d, %v", first.GetSequence(), next.GetSequence(), err)
	}
	charter, err := client.GetCharter(t.Context(), &allmendev1.GetCharterRequest{})
	if err != nil || len(charter.GetHash()) != 64 || len(charter.GetExplanation()) == 0 || !strings.HasPrefix(charter.GetCanonicalJson(), "{") {
		t.Errorf("charter %v, %v", charter, err)
	}
	if _, err := client.CreateEnrolmentToken(t.Context(), &allmendev1.CreateEnrolmentTokenRequest{GatewayId: "gw-a"}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("a visitor asks for a token: %v", err)
	}
	alive, err := healthv1.NewHealthClient(conn).Check(t.Context(), &healthv1.HealthCheckRequest{Service: "allmende.v1.CommunityService"})
	if err != nil || alive.GetStatus() != healthv1.HealthCheckResponse_SERVING {
		t.Errorf("health %v, %v", alive, err)
	}
	reflect, err := reflectionv1.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ask := &reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}}
	if err := reflect.Send(ask); err != nil {
		t.Fatal(err)
	}
	answer, err := reflect.Recv()
	if err != nil || !strings.Contains(answer.String(), "allmende.v1.CommunityService") {
		t.Errorf("reflection %v, %v", answer, err)
	}
	if strings.Contains(answer.String(), "GatewayService") {
		t.Error("the gateways' service is served without TLS")
	}
}

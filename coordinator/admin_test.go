// SPDX-License-Identifier: AGPL-3.0-or-later

package coordinator

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/allmende-energy/allmende/internal/adminsocket"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

// adminConn opens the coordinator's admin socket.
func adminConn(t *testing.T, dir string) *grpc.ClientConn {
	t.Helper()
	data := filepath.Join(dir, "data")
	conn, err := grpc.NewClient("passthrough:///", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return adminsocket.Dial(ctx, data) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// TestAdminSocket: the operator administers through a file that is hers alone,
// and that is gone when the coordinator is.
func TestAdminSocket(t *testing.T) {
	dir, w := folder(t, twoHomes), newWorld(t, dawn)
	c := start(t, dir, w)
	client := allmendev1.NewCommunityServiceClient(adminConn(t, dir))
	tok, err := client.CreateEnrolmentToken(t.Context(), &allmendev1.CreateEnrolmentTokenRequest{GatewayId: "gw-b"})
	if err != nil || readToken(t, tok.GetToken()).ID != "gw-b" {
		t.Errorf("%v, %v", tok, err)
	}
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(filepath.Join(dir, "data", adminsocket.Name)); !os.IsNotExist(err) {
		t.Errorf("the socket is left behind: %v", err)
	}
}

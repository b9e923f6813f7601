// SPDX-License-Identifier: AGPL-3.0-or-later

package gateway_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/allmende-energy/allmende/gateway"
)

// TestMetrics of a gateway at work: its buses, its spool, its coordinator.
func TestMetrics(t *testing.T) {
	w := newWorld(t)
	running := make(chan gateway.Running, 1)
	stop := w.gateway(func(c *gateway.Config) {
		c.Metrics.Listen = "127.0.0.1:0"
		c.Ready = func(r gateway.Running) { running <- r }
	})
	w.connected()
	w.to(3)
	r := <-running
	if !r.Alive() {
		t.Error("it passes its rounds, and says that it does not")
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Get("http://" + r.Metrics + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"allmende_edge_devices 4", "allmende_edge_devices_online 4", "allmende_edge_buses 2", "allmende_edge_uplink_connected 1",
		"allmende_edge_uplink_streams_total 1", "allmende_edge_spool_failing 0", `allmende_edge_bus_exchanges_total{bus="1",kind="read",outcome="ok"}`,
		`allmende_edge_bus_exchange_duration_seconds_count{bus="2"}`, "allmende_edge_certificate_not_after_timestamp_seconds 1.", "allmende_edge_round_duration_seconds_count",
	} {
		if !strings.Contains(string(body), want) {
			t.Errorf("%s is not there", want)
		}
	}
	for _, private := range []string{"home-1", "home-2", "127.0.0.1"} {
		if strings.Contains(string(body), private) {
			t.Errorf("%s is in the counters", private)
		}
	}
	if t.Failed() {
		t.Log(string(body))
	}
	stop()
}

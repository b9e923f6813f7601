// SPDX-License-Identifier: AGPL-3.0-or-later

package coordinator

import (
	"strings"
	"testing"
)

// Where the charter has no market round, nobody can bid, and is told why.
func TestNoMarketNoBids(t *testing.T) {
	c := inService(t, folder(t, sixHomes()))
	stella := c.found(t)
	anna := c.invite(t, stella, "anna.a", "anna", "member")
	anna.refused(400, "no market round", "PUT", "/v1/orders/anna/bid", fields{"price": "0.18"})
	if own := anna.must("GET", "/v1/orders/anna", nil); own["lowestPrice"] != "" {
		t.Errorf("bounds of no market: %v", own)
	}
	code, text := anna.do("DELETE", "/v1/orders/anna/bid", nil)
	if code != 200 || !strings.Contains(text, `"unchanged":true`) {
		t.Errorf("nothing is withdrawn: %d %s", code, text)
	}
}

// A community is not founded with an offer that its charter takes none of.
func TestNoMarketNoOffersAtTheFounding(t *testing.T) {
	dir := folder(t, strings.Replace(sixHomes(), "id: anna, name", "id: anna, offer: {price: 8 ct/kWh EUR, most_kwh: 0.5}, name", 1))
	cfg, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Start(t.Context(), cfg, newWorld(t, dawn).clock, testLog(t))
	if err == nil {
		c.Stop()
	}
	if err == nil || !strings.Contains(err.Error(), `the offer of member "anna": the charter in force has no market round`) {
		t.Errorf("founded with an offer that nobody takes: %v", err)
	}
}

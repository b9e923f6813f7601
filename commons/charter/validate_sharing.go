// SPDX-License-Identifier: AGPL-3.0-or-later

package charter

import (
	"fmt"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
)

// validateSharing checks what version 2 adds to a sharing rule.
func (c *Charter) validateSharing(p *Problems, s *Sharing, base string, used map[Name]bool) {
	k := &checker{Problems: p, charter: c, sharing: s, base: base, sources: map[Name]bool{}, used: used}
	k.listSources()
	k.rounding()
	k.participation()
	k.reserves()
	k.market()
	k.rounds()
}

func (k *checker) listSources() {
	at := k.base + ".sources"
	if len(k.sharing.Sources) > MaxSources {
		k.add(at, "has %d entries; at most %d are allowed", len(k.sharing.Sources), MaxSources)
		return
	}
	taken := map[string]Name{}
	for i, s := range k.sharing.Sources {
		at := fmt.Sprintf("%s[%d]", at, i)
		if k.id(string(s.Name), at+".name") && k.sources[s.Name] {
			k.add(at+".name", "%q is another source already; give each its own name", s.Name)
		}
		k.sources[s.Name] = true
		of := "member " + string(s.Member)
		switch {
		case (s.Member == "") == (s.Site == ""):
			k.add(at, "write whose it is: either member or site")
			continue
		case s.Site != "":
			of = "site " + string(s.Site)
			k.id(string(s.Site), at+".site")
		default:
			k.id(string(s.Member), at+".member")
		}
		if other, twice := taken[of]; twice {
			k.add(at, "%.60s is source %.40q already; energy is counted once, so remove one", of, other)
		}
		taken[of] = s.Name
	}
	if k.sharing.Attribution != "" {
		oneOf(k.Problems, k.base+".attribution", k.sharing.Attribution, AttributeProportional, AttributeListed)
	}
	if k.sharing.Attribution == AttributeListed && len(k.sharing.Sources) == 0 {
		k.add(k.base+".attribution", "listed needs a list; write %s.sources in their order", k.base)
	}
}

func (k *checker) rounding() {
	r := k.sharing.Rounding
	if r == nil {
		return
	}
	if r.Unit != energy.MilliwattHour && r.Unit != energy.WattHour && r.Unit != 10*energy.WattHour {
		k.add(k.base+".rounding.unit", "%s is not allowed here; write 0.000001, 0.001 or 0.01 (kWh)", r.Unit)
	}
	oneOf(k.Problems, k.base+".rounding.mode", r.Mode, LargestRemainder, Floor)
}

func (k *checker) participation() {
	seen := map[roll.MemberID]bool{}
	for i, f := range k.sharing.Participation {
		at := fmt.Sprintf("%s.participation[%d]", k.base, i)
		if k.id(string(f.Member), at+".member") && seen[f.Member] {
			k.add(at+".member", "%q is listed already; remove one", f.Member)
		}
		seen[f.Member] = true
		if f.Percent <= 0 {
			k.add(at+".percent", "is missing or 0; write which percentage of the meter takes part here, or remove the member from the community")
		}
	}
}

func (k *checker) reserves() {
	var sum Percent
	seen := map[ReserveUse]bool{}
	for i, r := range k.sharing.Reserve {
		at := fmt.Sprintf("%s.reserve[%d]", k.base, i)
		oneOf(k.Problems, at+".for", r.For, ReserveSolidarity, ReserveStorage, ReserveSale)
		if seen[r.For] {
			k.add(at+".for", "%.40s is reserved for already; add the two up", r.For)
		}
		seen[r.For] = true
		if r.Percent <= 0 {
			k.add(at+".percent", "is missing or 0; write a percentage, or remove the reserve")
		}
		sum = min(sum+max(r.Percent, 0), 10*Whole)
		k.groups(r.Groups, at+".groups")
		switch {
		case r.For == ReserveSolidarity && len(r.Groups) == 0:
			k.add(at+".groups", "is missing; write for whose members the reserve is")
		case r.For != ReserveSolidarity && len(r.Groups) > 0:
			k.add(at+".groups", "has no use for %.40s; remove it", r.For)
		case r.For == ReserveStorage && k.charter.Storage.Use != StorageShared:
			k.add(at+".for", "storage takes nothing while storage.use is %.40s; write use: shared, or remove the reserve", k.charter.Storage.Use)
		}
	}
	if sum >= Whole {
		k.add(k.base+".reserve", "holds back %s %%, so that no round can ever give anything; keep below 100 %%", sum)
	}
}

func (k *checker) market() {
	m := k.sharing.Market
	if m == nil {
		return
	}
	at := k.base + ".market"
	low := k.charter.price(k.Problems, at+".lowest", m.Lowest)
	high := k.charter.price(k.Problems, at+".highest", m.Highest)
	if low && high && m.Lowest.Micro > m.Highest.Micro {
		k.add(at+".lowest", "is above highest, so no bid could ever be taken; swap them")
	}
}

// price checks a price beside the charter's own.
func (c *Charter) price(p *Problems, path string, x energy.Price) bool {
	const example = "write it as \"12.5 ct/kWh EUR\" or \"0.125 EUR/kWh\""
	switch {
	case x == energy.Price{}:
		p.add(path, "is missing; %s", example)
	case x.Currency != c.Currency:
		p.add(path, "is in %.40s, but currency says %.40s; use one currency everywhere", x.Currency, c.Currency)
	case x.Micro < 0:
		p.add(path, "is negative; %s", example)
	case x.Micro > maxPriceMicro:
		p.add(path, "is over a million per kWh; %s", example)
	default:
		return true
	}
	return false
}

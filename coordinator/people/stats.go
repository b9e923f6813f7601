// SPDX-License-Identifier: AGPL-3.0-or-later

package people

import "sync/atomic"

// Stats are counters since the start. None tells of a single person.
type Stats struct {
	SignedIn    uint64 // sessions that began
	Wrong       uint64 // sign-ins with what does not fit
	Delayed     uint64 // attempts that came too early
	Busy        uint64 // passwords that were not looked at, because too many were
	Hashing     int64  // passwords that are being looked at or wait for it
	AuditRows   uint64 // entries of the audit log that were written
	AuditMerged uint64 // refusals that became part of another entry
	AuditLost   uint64 // entries that could not be written
}

type counters struct {
	signedIn, wrong, delayed, busy, auditRows, auditMerged, auditLost atomic.Uint64
}

// Stats are the counters now.
func (p *People) Stats() Stats {
	c := p.counted
	return Stats{
		SignedIn: c.signedIn.Load(), Wrong: c.wrong.Load(), Delayed: c.delayed.Load(), Busy: c.busy.Load(), Hashing: p.hasher.queued.Load(),
		AuditRows: c.auditRows.Load(), AuditMerged: c.auditMerged.Load(), AuditLost: c.auditLost.Load(),
	}
}

// errNotFitting counts a sign-in that fails, and is the answer to it.
func (p *People) errNotFitting() error {
	p.counted.wrong.Add(1)
	return errWrong
}

// SPDX-License-Identifier: AGPL-3.0-or-later

package coordinator

import "github.com/allmende-energy/allmende/internal/telemetry"

func (c *Coordinator) measureStore() telemetry.Group {
	return telemetry.Group{
		Metrics: []telemetry.Metric{
			{Name: "allmende_database_writes_total", Help: "Transactions that were stored.", Kind: telemetry.Total},
			{Name: "allmende_database_refused_writes_total", Help: "Transactions that were not stored, because the disk was full or the database held or away; most come again.", Kind: telemetry.Total},
			{Name: "allmende_database_sessions_total", Help: "Connections to a database server that have written; 0 with a file.", Kind: telemetry.Total},
			{Name: "allmende_database_unanswered_commits_total", Help: "Commits whose connection broke before the answer came; what became of them was asked.", Kind: telemetry.Total},
		},
		Take: func(set telemetry.Setter) {
			s := c.store.Stats()
			for i, n := range []int64{s.Writes, s.Refused, s.Sessions, s.Unanswered} {
				set(i, float64(n))
			}
		},
	}
}

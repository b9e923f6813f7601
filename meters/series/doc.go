// SPDX-License-Identifier: AGPL-3.0-or-later

// Package series is the memory of what was measured: powers and states of
// charge over time, of assets, members and the community. It says what a store
// of time series keeps and what it answers; the stores themselves are packages
// below this one (embedded, influx). Nothing here is ever booked: energy is
// settled from registers, and the ledger needs none of this. A store may lose
// what it has, and says so.
//
// # What is kept
//
// A [Record] is what was measured of one [Subject] at one [energy.Instant]: one
// quality, and a value for each of a few quantities, as integers (milliwatts,
// permille). A subject's quantity is a [Series]. The points of a series come in
// order of time. A point that is not later than the newest of its series is not
// kept; nor is one beyond [MaxValue]. Both are counted.
//
// # What is answered
//
// A query names a series, a half-open span of time and a resolution, and gets
// buckets. All stores answer the same to the same points:
//
//   - A [Resolution] is a whole number of seconds that divides a day. Buckets start at its
//     multiples in UTC, [Start, Start+resolution). A span that does not begin or
//     end on a bucket's edge is widened to the whole buckets it touches.
//   - A bucket has the number of its points, their sum, their least and
//     greatest value, and the worst quality among them. Its mean is the sum
//     divided by the number, rounded half away from zero.
//   - A bucket without points is not there. Nothing is interpolated across a
//     gap, and nothing is invented at its edges.
//   - A point stands for the time since the point before it in its series, if
//     that is at most [MaxGap]; otherwise, and if it is the first, for none. It
//     counts as a whole in the bucket that it falls in. Covered is the sum of
//     these spans, Work the sum of value × span. Energy is Work in milliwatt-hours,
//     rounded half away from zero; for series that are not powers it means
//     nothing.
//
// So buckets add up: those of a minute to those of an hour, exactly, and a store
// may keep sums in place of points without anybody seeing it in an answer.
//
// What a store no longer has as finely as it was asked for, it refuses with
// [ErrTooFine], and says how fine it can be.
package series

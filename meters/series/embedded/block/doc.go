// SPDX-License-Identifier: AGPL-3.0-or-later

// Package block writes points and buckets in few bytes, exactly. It is how the
// embedded store keeps a thousand devices on one small disk; docs/adr says what
// was weighed.
//
// A block holds columns: times, values and qualities, each of them as cheap as
// it is regular. Times are differences to the usual distance of two points.
// Values are divided by their greatest common divisor, since most devices
// count whole watts, and written as differences of order 0, 1 or 2, whichever
// is cheapest. What is left are small numbers, in Rice codes: groups of 32, each
// with the parameter that suits it, and a group of zeros costs six bits, as in
// lossless audio. Qualities are runs.
//
// The layout of a block of points: format, number, offset of the first point, the
// span that it stands for, usual distance, first value, divisor, order, runs of
// qualities, the Rice codes of times and values, CRC-32C. A block of buckets: format, number, divisor,
// runs, the Rice codes of eight columns, CRC-32C. Numbers of the head are
// varints as encoding/binary has them.
package block

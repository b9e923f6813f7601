// SPDX-License-Identifier: AGPL-3.0-or-later

// Package telemetry counts what the program does, and shows the counters to
// Prometheus.
//
// There are two kinds. What happens often is counted where it happens, by a
// [Histogram] or a [Counter], without allocating. What is known anyway, such as
// the gateways that are connected, is taken when somebody asks: a package hands
// over a [Group] with a function.
//
// No counter tells of a single member. Labels are ids of gateways, names of
// methods and the like, from lists that are bounded: what a member uses must
// not be read out of a monitoring system that nobody thinks of as holding it.
//
// Each registry belongs to one coordinator or gateway; nothing is global.
package telemetry

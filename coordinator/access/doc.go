// SPDX-License-Identifier: AGPL-3.0-or-later

// Package access decides who may do what, in one place and by data that a
// co-operative's board can read: policy.yaml maps roles to permissions, and each
// method of each service to the permission that it needs. What has no row is
// refused.
//
// A caller is a [Principal]. Whoever takes the call finds out who calls (a
// session's cookie, a token, the local socket) and puts the principal into the
// context, with what the policy grants it. [Guard] then decides by method, for
// gRPC and for REST and events alike. Finer questions, such as whose curve is
// asked for, are for the service: it takes [From] the context who asks, and asks
// [Principal.May] and [Principal.SeesCurvesOf].
package access

// SPDX-License-Identifier: AGPL-3.0-or-later

// Package people keeps the accounts of a community: who may sign in, by
// password or passkey, who is invited, which programs have tokens, and the
// audit log of what was refused and what was changed. What each of them may is
// not decided here but by the policy in package access.
//
// Nothing here trusts that its callers mean well. A password is hashed by
// argon2id, of which few run at a time, so that a flood of sign-ins cannot take
// all memory; attempts are counted by account and by address, with a delay that
// grows and never locks anybody out for good; an answer doesn't tell whether an
// account exists. Everything kept in memory has a bound, and everything kept in
// the database that opens a door is a hash.
package people

// SPDX-License-Identifier: AGPL-3.0-or-later

// Package certs keeps the certificates that browsers and programs see: read
// from files and again when those change, or obtained and renewed from an ACME
// authority such as Let's Encrypt.
//
// A certificate is taken for each handshake, so a new one needs no new listener
// and disturbs no connection. What is wrong with new files, or with a renewal,
// leaves the old certificate in use and is a problem that somebody is told of.
//
// Gateways have nothing to do with this: their certificates are signed by the
// community's own authority.
package certs

-- SPDX-License-Identifier: AGPL-3.0-or-later
-- People and programs that may sign in, and what they did. No secret stands
-- here as it is: passwords are argon2id, everything else that opens a door is a
-- hash of 160 random bits or more. Instants are milliseconds of wall time.

-- +goose Up

CREATE TABLE person (
    id          TEXT   NOT NULL PRIMARY KEY,
    login       TEXT   NOT NULL UNIQUE,
    name        TEXT   NOT NULL,
    member      TEXT   NOT NULL, -- whose curves are her own; empty: nobody's
    roles       TEXT   NOT NULL, -- separated by spaces
    password    TEXT   NOT NULL, -- PHC string; empty: she has none
    handle      BLOB   NOT NULL UNIQUE, -- by which a passkey names her
    generation  BIGINT NOT NULL, -- sessions of an earlier one have ended
    created_ms  BIGINT NOT NULL,
    disabled_ms BIGINT NOT NULL, -- 0: she may sign in
    signed_ms   BIGINT NOT NULL  -- last sign-in; 0: never
);
CREATE TABLE passkey (
    id         BLOB   NOT NULL PRIMARY KEY,
    person     TEXT   NOT NULL REFERENCES person (id),
    name       TEXT   NOT NULL,
    credential BLOB   NOT NULL, -- public key and counters, JSON
    created_ms BIGINT NOT NULL,
    used_ms    BIGINT NOT NULL
);
CREATE INDEX passkey_person ON passkey (person);
CREATE TABLE recovery_code (
    hash   BLOB NOT NULL PRIMARY KEY,
    person TEXT NOT NULL REFERENCES person (id)
);
CREATE INDEX recovery_code_person ON recovery_code (person);
CREATE TABLE web_session (
    hash       TEXT   NOT NULL PRIMARY KEY,
    person     TEXT   NOT NULL REFERENCES person (id),
    data       BLOB   NOT NULL,
    used_ms    BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL
);
CREATE INDEX web_session_person ON web_session (person);
CREATE TABLE invitation (
    id         TEXT   NOT NULL PRIMARY KEY,
    hash       BLOB   NOT NULL UNIQUE,
    setup      BIGINT NOT NULL, -- 1: a setup link
    note       TEXT   NOT NULL,
    roles      TEXT   NOT NULL,
    member     TEXT   NOT NULL,
    by_whom    TEXT   NOT NULL,
    created_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL
);
CREATE TABLE access_token (
    id         TEXT   NOT NULL PRIMARY KEY,
    hash       BLOB   NOT NULL UNIQUE,
    name       TEXT   NOT NULL,
    scopes     TEXT   NOT NULL,
    by_whom    TEXT   NOT NULL,
    created_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL,
    used_ms    BIGINT NOT NULL,
    revoked_ms BIGINT NOT NULL
);
-- Nothing updates a row; rows older than the audit log keeps are deleted.
CREATE TABLE audit (
    id      BIGINT NOT NULL PRIMARY KEY,
    at_ms   BIGINT NOT NULL,
    kind    TEXT   NOT NULL,
    who     TEXT   NOT NULL,
    origin  TEXT   NOT NULL,
    act     TEXT   NOT NULL,
    object  TEXT   NOT NULL,
    outcome TEXT   NOT NULL,
    why     TEXT   NOT NULL,
    times   BIGINT NOT NULL
);
CREATE INDEX audit_outcome ON audit (outcome, id);

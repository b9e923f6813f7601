-- SPDX-License-Identifier: AGPL-3.0-or-later
-- Instants and spans are milliseconds, energies milliwatt-hours. Ids are given
-- by the program, not by the database. There is no way down: a ledger is not
-- dropped by a migration.

-- +goose Up

-- Single values: community, key, epoch, world_time, simulated.
CREATE TABLE meta (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE enrolment_token (
    hash       BLOB   NOT NULL PRIMARY KEY,
    gateway    TEXT   NOT NULL,
    expires_ms BIGINT NOT NULL,
    used_ms    BIGINT
);

CREATE TABLE gateway_certificate (
    gateway      TEXT   NOT NULL,
    serial       TEXT   NOT NULL,
    not_after_ms BIGINT NOT NULL,
    PRIMARY KEY (gateway, serial)
);

-- A gateway's spool and the last sequence of it that is in the inbox.
CREATE TABLE spool (
    id      INTEGER NOT NULL PRIMARY KEY,
    gateway TEXT    NOT NULL,
    name    TEXT    NOT NULL,
    durable BIGINT  NOT NULL,
    UNIQUE (gateway, name)
);

-- One register of one asset.
CREATE TABLE series (
    id       INTEGER NOT NULL PRIMARY KEY,
    asset    TEXT    NOT NULL,
    register TEXT    NOT NULL,
    UNIQUE (asset, register)
);

-- Metering samples in the order of their arrival.
CREATE TABLE inbox (
    id        INTEGER  NOT NULL PRIMARY KEY,
    spool     INTEGER  NOT NULL REFERENCES spool (id),
    seq       BIGINT   NOT NULL,
    series    INTEGER  NOT NULL REFERENCES series (id),
    at_ms     BIGINT   NOT NULL,
    value_mwh BIGINT   NOT NULL,
    quality   SMALLINT NOT NULL,
    reset     SMALLINT NOT NULL,
    soc       BIGINT   NOT NULL
);
CREATE INDEX inbox_at ON inbox (at_ms);
CREATE INDEX inbox_series ON inbox (series);

-- The permanent record. Nothing updates or deletes a row of these three.
CREATE TABLE leaf (
    idx   INTEGER NOT NULL PRIMARY KEY,
    kind  TEXT    NOT NULL,
    epoch BIGINT  NOT NULL, -- who wrote it; no part of the leaf, which is the same whoever writes it
    body  BLOB    NOT NULL
);
CREATE TABLE tree_hash (
    idx  INTEGER NOT NULL PRIMARY KEY,
    hash BLOB    NOT NULL
);
CREATE TABLE checkpoint (
    size INTEGER NOT NULL PRIMARY KEY,
    note BLOB    NOT NULL
);

-- What is looked up about leaves, derived from them.
CREATE TABLE charter_activation (
    leaf         INTEGER NOT NULL PRIMARY KEY REFERENCES leaf (idx),
    hash         TEXT    NOT NULL,
    effective_ms BIGINT  NOT NULL
);
CREATE TABLE settled (
    leaf        INTEGER NOT NULL PRIMARY KEY REFERENCES leaf (idx),
    start_ms    BIGINT  NOT NULL,
    length_ms   BIGINT  NOT NULL,
    revision    BIGINT  NOT NULL,
    reversed_by INTEGER REFERENCES leaf (idx)
);
CREATE UNIQUE INDEX settled_once ON settled (start_ms) WHERE reversed_by IS NULL;
CREATE INDEX settled_reversed ON settled (reversed_by);
CREATE INDEX settled_start ON settled (start_ms, revision);

-- The annex: erasable.
CREATE TABLE subject_secret (
    subject TEXT NOT NULL PRIMARY KEY,
    secret  BLOB NOT NULL
);
CREATE TABLE annex_row (
    leaf    INTEGER NOT NULL REFERENCES leaf (idx),
    idx     BIGINT  NOT NULL,
    kind    TEXT    NOT NULL,
    row_key TEXT    NOT NULL,
    subject TEXT    NOT NULL,
    body    BLOB    NOT NULL,
    salt    BLOB    NOT NULL,
    PRIMARY KEY (leaf, idx)
);
CREATE INDEX annex_row_subject ON annex_row (subject);
CREATE TABLE entry (
    leaf       INTEGER NOT NULL REFERENCES leaf (idx),
    idx        BIGINT  NOT NULL,
    subject    TEXT    NOT NULL,
    pool       TEXT    NOT NULL,
    account    TEXT    NOT NULL,
    amount_mwh BIGINT  NOT NULL,
    PRIMARY KEY (leaf, idx)
);
CREATE INDEX entry_subject ON entry (subject);
CREATE TABLE member_interval (
    leaf             INTEGER NOT NULL REFERENCES leaf (idx),
    member           TEXT    NOT NULL,
    pool             TEXT    NOT NULL,
    share_mwh        BIGINT  NOT NULL,
    from_storage_mwh BIGINT  NOT NULL,
    consumption_mwh  BIGINT  NOT NULL,
    PRIMARY KEY (leaf, member, pool)
);
CREATE INDEX member_interval_member ON member_interval (member);

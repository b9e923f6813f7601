-- SPDX-License-Identifier: AGPL-3.0-or-later
-- The community's register as it was recorded: nothing updates or deletes a row,
-- but for the names of a member who is erased.

-- +goose Up

-- One act of administration: its changes hold together or not at all.
CREATE TABLE register_revision (
    revision    BIGINT NOT NULL PRIMARY KEY, -- 1, 2, …
    actor       TEXT   NOT NULL,             -- who did it
    note        TEXT   NOT NULL,             -- why, in her own words
    recorded_ms BIGINT NOT NULL,             -- wall time
    world_ms    BIGINT NOT NULL              -- world time
);
CREATE TABLE register_change (
    revision BIGINT NOT NULL REFERENCES register_revision (revision),
    idx      BIGINT NOT NULL,
    from_ms  BIGINT NOT NULL, -- from when it is so, in world time
    op       TEXT   NOT NULL, -- add, change, retire
    kind     TEXT   NOT NULL, -- community, member, connection, site, asset, gateway
    id       TEXT   NOT NULL,
    body     TEXT   NOT NULL, -- what it is, in JSON
    PRIMARY KEY (revision, idx)
);
CREATE INDEX register_change_entry ON register_change (kind, id);

-- SPDX-License-Identifier: AGPL-3.0-or-later
-- Instants are milliseconds. The keys of raw, minute and quarter are
-- (start / length of a row) << 24 | series.

CREATE TABLE series (
    id       INTEGER NOT NULL PRIMARY KEY,
    kind     TEXT    NOT NULL,
    name     TEXT    NOT NULL,
    quantity TEXT    NOT NULL,
    UNIQUE (kind, name, quantity)
);

-- What is new of all series since the last flush, until it is in raw.
CREATE TABLE journal (
    id              INTEGER NOT NULL PRIMARY KEY,
    oldest_block_ms BIGINT  NOT NULL,
    newest_block_ms BIGINT  NOT NULL,
    body            BLOB    NOT NULL
);

CREATE TABLE raw     (key INTEGER NOT NULL PRIMARY KEY, body BLOB NOT NULL); -- points of 10 minutes
CREATE TABLE minute  (key INTEGER NOT NULL PRIMARY KEY, body BLOB NOT NULL); -- sums by the minute of 6 hours
CREATE TABLE quarter (key INTEGER NOT NULL PRIMARY KEY, body BLOB NOT NULL); -- sums by the quarter-hour of a day

CREATE TABLE marks (
    minute_until_ms  BIGINT NOT NULL,
    quarter_until_ms BIGINT NOT NULL,
    raw_from_ms      BIGINT NOT NULL,
    minute_from_ms   BIGINT NOT NULL
);
INSERT INTO marks VALUES (0, 0, 0, 0);

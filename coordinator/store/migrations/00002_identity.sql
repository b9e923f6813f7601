-- SPDX-License-Identifier: AGPL-3.0-or-later
-- The life of gateways' certificates. Instants are wall time in milliseconds:
-- certificates live on the wall clock, also where the world is simulated.

-- +goose Up

-- The public key that a token was spent for: the same key may ask again while
-- the token lasts, because an answer may be lost on the way.
ALTER TABLE enrolment_token ADD COLUMN used_key BLOB;

ALTER TABLE gateway_certificate ADD COLUMN issued_ms BIGINT NOT NULL DEFAULT 0;
ALTER TABLE gateway_certificate ADD COLUMN origin TEXT NOT NULL DEFAULT 'enrolled';
ALTER TABLE gateway_certificate ADD COLUMN key_hash BLOB;
ALTER TABLE gateway_certificate ADD COLUMN body BLOB;
ALTER TABLE gateway_certificate ADD COLUMN last_seen_ms BIGINT;
ALTER TABLE gateway_certificate ADD COLUMN revoked_ms BIGINT;
ALTER TABLE gateway_certificate ADD COLUMN reason TEXT NOT NULL DEFAULT '';

-- Everything that was signed for a gateway up to an instant is revoked, also
-- what this database does not know, because it was restored from a backup.
CREATE TABLE gateway_revocation (
    gateway   TEXT   NOT NULL PRIMARY KEY,
    before_ms BIGINT NOT NULL,
    reason    TEXT   NOT NULL
);

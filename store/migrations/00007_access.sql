-- Who gives orders: log-ins with a key, when a key was used last, and the audit
-- log. The column is added and may be NULL: a server of the version before goes
-- on writing keys that have none.

-- +goose Up
ALTER TABLE api_keys ADD COLUMN used_time BIGINT;

CREATE TABLE key_sessions (
    hash         TEXT   NOT NULL PRIMARY KEY,
    key_id       TEXT   NOT NULL REFERENCES api_keys (key_id) ON DELETE CASCADE,
    created_time BIGINT NOT NULL,
    used_time    BIGINT NOT NULL,
    expires_time BIGINT NOT NULL
);
CREATE INDEX key_sessions_key ON key_sessions (key_id, created_time);

CREATE TABLE audit (
    audit_id TEXT   NOT NULL PRIMARY KEY,
    at       BIGINT NOT NULL,
    actor    TEXT   NOT NULL,
    key_id   TEXT   NOT NULL,
    address  TEXT   NOT NULL,
    service  TEXT   NOT NULL,
    target   TEXT   NOT NULL,
    status   BIGINT NOT NULL,
    code     TEXT   NOT NULL
);
CREATE INDEX audit_at ON audit (at, audit_id);
CREATE INDEX audit_actor ON audit (actor, at, audit_id);
CREATE INDEX audit_service ON audit (service, at, audit_id);

-- +goose Down
DROP TABLE audit;
DROP TABLE key_sessions;
ALTER TABLE api_keys DROP COLUMN used_time;

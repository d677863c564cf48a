-- One text for SQLite and PostgreSQL. Times are milliseconds since the Unix
-- epoch, JSON is TEXT, identifiers are the decimal strings of the contracts.

-- +goose Up
CREATE TABLE nodes (
    name        TEXT   NOT NULL PRIMARY KEY,
    number      BIGINT NOT NULL UNIQUE,
    incarnation BIGINT NOT NULL,
    lease_time  BIGINT NOT NULL
);

CREATE TABLE devices (
    device_id          TEXT    NOT NULL PRIMARY KEY,
    name               TEXT    NOT NULL,
    name_folded        TEXT    NOT NULL,
    type               TEXT    NOT NULL,
    description        TEXT    NOT NULL,
    sn                 TEXT    NOT NULL,
    model              TEXT    NOT NULL,
    software           TEXT,
    business_software  TEXT,
    nic                TEXT    NOT NULL,
    enabled            BOOLEAN NOT NULL,
    created_time       BIGINT  NOT NULL,
    updated_time       BIGINT  NOT NULL,
    -- what the owner's sessions say
    state              TEXT    NOT NULL DEFAULT 'offline',
    state_reason       TEXT    NOT NULL DEFAULT '',
    last_seen_time     BIGINT,
    owner_node         BIGINT,
    owner_epoch        BIGINT  NOT NULL DEFAULT 0,
    boot_id            TEXT    NOT NULL DEFAULT '',
    client             TEXT    NOT NULL DEFAULT '{}',
    -- business changes, and which of them the device was told
    update_version     BIGINT  NOT NULL DEFAULT 0,
    told_version       BIGINT  NOT NULL DEFAULT 0,
    -- credentials: hashes alone; the newest two tokens
    password           TEXT    NOT NULL,
    credential_version BIGINT  NOT NULL DEFAULT 1,
    token              TEXT    NOT NULL DEFAULT '',
    token_expires      BIGINT  NOT NULL DEFAULT 0,
    old_token          TEXT    NOT NULL DEFAULT '',
    old_token_expires  BIGINT  NOT NULL DEFAULT 0,
    UNIQUE (sn, model)
);

CREATE TABLE group_info (
    group_id     TEXT   NOT NULL PRIMARY KEY,
    name         TEXT   NOT NULL UNIQUE,
    description  TEXT   NOT NULL,
    created_time BIGINT NOT NULL,
    updated_time BIGINT NOT NULL
);

CREATE TABLE relations (
    device_id    TEXT   NOT NULL REFERENCES devices (device_id) ON DELETE CASCADE,
    group_id     TEXT   NOT NULL REFERENCES group_info (group_id) ON DELETE CASCADE,
    created_time BIGINT NOT NULL,
    PRIMARY KEY (device_id, group_id)
);
CREATE INDEX relations_group ON relations (group_id, device_id);

-- Orders, events and their counters outlive the device: no foreign key.
CREATE TABLE orders (
    order_id     TEXT    NOT NULL PRIMARY KEY,
    device_id    TEXT    NOT NULL,
    name         TEXT    NOT NULL,
    is_inner     BOOLEAN NOT NULL,
    params       TEXT    NOT NULL,
    state        TEXT    NOT NULL,
    reason       TEXT,
    late         BOOLEAN NOT NULL DEFAULT FALSE,
    verified     BOOLEAN,
    message      TEXT    NOT NULL DEFAULT '',
    data         TEXT,
    actor        TEXT    NOT NULL,
    created_time BIGINT  NOT NULL,
    sent_time    BIGINT,
    ended_time   BIGINT,
    due_time     BIGINT  NOT NULL,
    epoch        BIGINT  NOT NULL DEFAULT 0,
    node         BIGINT  NOT NULL DEFAULT 0,
    boot_id      TEXT    NOT NULL DEFAULT ''
);
-- Single flight: a device has one sent order at most.
CREATE UNIQUE INDEX orders_sent ON orders (device_id) WHERE state = 'sent';
CREATE INDEX orders_device ON orders (device_id, created_time, order_id);
CREATE INDEX orders_unsettled ON orders (device_id, created_time, order_id) WHERE state IN ('sent', 'unknown');
CREATE INDEX orders_sent_due ON orders (due_time) WHERE state = 'sent';
CREATE INDEX orders_queued_due ON orders (due_time) WHERE state = 'queued';
CREATE INDEX orders_unverified ON orders (device_id, ended_time) WHERE name = 'restart' AND verified IS NULL;

CREATE TABLE event_seq (
    device_id TEXT   NOT NULL PRIMARY KEY,
    seq       BIGINT NOT NULL
);

CREATE TABLE counters (
    name  TEXT   NOT NULL PRIMARY KEY,
    value BIGINT NOT NULL
);
INSERT INTO counters (name, value) VALUES ('pos', 0), ('incarnation', 0);

CREATE TABLE events (
    device_id TEXT   NOT NULL,
    seq       BIGINT NOT NULL,
    pos       BIGINT NOT NULL UNIQUE,
    at        BIGINT NOT NULL,
    kind      TEXT   NOT NULL,
    outcome   TEXT   NOT NULL,
    actor     TEXT   NOT NULL,
    detail    TEXT   NOT NULL,
    PRIMARY KEY (device_id, seq)
);

CREATE TABLE status_history (
    device_id TEXT   NOT NULL,
    at        BIGINT NOT NULL,
    status    TEXT   NOT NULL,
    PRIMARY KEY (device_id, at)
);

CREATE TABLE api_keys (
    key_id       TEXT   NOT NULL PRIMARY KEY,
    name         TEXT   NOT NULL,
    hash         TEXT   NOT NULL UNIQUE,
    role         TEXT   NOT NULL,
    group_ids    TEXT   NOT NULL,
    created_time BIGINT NOT NULL,
    revoked_time BIGINT
);

CREATE TABLE logfiles (
    order_id     TEXT   NOT NULL PRIMARY KEY,
    device_id    TEXT   NOT NULL,
    bytes        BIGINT NOT NULL,
    sha256       TEXT   NOT NULL,
    created_time BIGINT NOT NULL
);
CREATE INDEX logfiles_device ON logfiles (device_id, created_time, order_id);

-- +goose Down
DROP TABLE logfiles;
DROP TABLE api_keys;
DROP TABLE status_history;
DROP TABLE events;
DROP TABLE counters;
DROP TABLE event_seq;
DROP TABLE orders;
DROP TABLE relations;
DROP TABLE group_info;
DROP TABLE devices;
DROP TABLE nodes;

-- Group orders. A job's devices, and the identifier of each one's order, are
-- stored with it: what was not given yet, and what was, is then known over a
-- crash. What became of an order is in its record alone; a device that has
-- no record has its reason here.

-- +goose Up
CREATE TABLE jobs (
    job_id       TEXT    NOT NULL PRIMARY KEY,
    target       TEXT    NOT NULL,
    name         TEXT    NOT NULL,
    is_inner     BOOLEAN NOT NULL,
    params       TEXT    NOT NULL,
    max_parallel BIGINT  NOT NULL,
    max_failures BIGINT,
    if_offline   TEXT    NOT NULL,
    if_busy      TEXT    NOT NULL,
    ttl          BIGINT  NOT NULL,
    total        BIGINT  NOT NULL,
    state        TEXT    NOT NULL,
    cancelled_by TEXT,
    actor        TEXT    NOT NULL,
    created_time BIGINT  NOT NULL,
    ended_time   BIGINT,
    once_owner   TEXT,
    once_key     TEXT,
    once_hash    TEXT
);
CREATE INDEX jobs_created ON jobs (created_time, job_id);
CREATE INDEX jobs_running ON jobs (created_time, job_id) WHERE ended_time IS NULL;
CREATE INDEX jobs_ended ON jobs (ended_time) WHERE ended_time IS NOT NULL;
CREATE UNIQUE INDEX jobs_once ON jobs (once_owner, once_key) WHERE once_key IS NOT NULL;

-- Devices may be deleted, and orders come later: no foreign key.
CREATE TABLE job_devices (
    job_id    TEXT   NOT NULL,
    place     BIGINT NOT NULL,
    device_id TEXT   NOT NULL,
    order_id  TEXT   NOT NULL,
    reason    TEXT,
    message   TEXT   NOT NULL DEFAULT '',
    PRIMARY KEY (job_id, place)
);
CREATE INDEX job_devices_device ON job_devices (device_id, job_id);
CREATE INDEX job_devices_refused ON job_devices (job_id) WHERE reason IS NOT NULL;

ALTER TABLE orders ADD COLUMN job_id TEXT;
-- A job's counts are read in it alone.
CREATE INDEX orders_job ON orders (job_id, state) WHERE job_id IS NOT NULL;

-- +goose Down
DROP INDEX orders_job;
ALTER TABLE orders DROP COLUMN job_id;
DROP TABLE job_devices;
DROP TABLE jobs;

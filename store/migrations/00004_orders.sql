-- Orders that wait for their device, and the keys under which orders were given.
-- The columns are added, and are NULL for orders that need them not: a server of
-- the version before goes on writing such rows.

-- +goose Up
-- The place in its device's queue: it rises with each order that is queued.
ALTER TABLE orders ADD COLUMN queue_pos    BIGINT;
-- When one that waits has waited for too long; while it does, due_time is the same.
ALTER TABLE orders ADD COLUMN expires_time BIGINT;
-- The Idempotency-Key: whose it is, and the hash of what was asked for with it.
ALTER TABLE orders ADD COLUMN once_owner   TEXT;
ALTER TABLE orders ADD COLUMN once_key     TEXT;
ALTER TABLE orders ADD COLUMN once_hash    TEXT;
CREATE INDEX orders_queue ON orders (device_id, queue_pos, order_id) WHERE state = 'queued';
CREATE UNIQUE INDEX orders_once ON orders (once_owner, once_key) WHERE once_key IS NOT NULL;
INSERT INTO counters (name, value) VALUES ('queue', 0);

-- +goose Down
DELETE FROM counters WHERE name = 'queue';
DROP INDEX orders_once;
DROP INDEX orders_queue;
ALTER TABLE orders DROP COLUMN once_hash;
ALTER TABLE orders DROP COLUMN once_key;
ALTER TABLE orders DROP COLUMN once_owner;
ALTER TABLE orders DROP COLUMN expires_time;
ALTER TABLE orders DROP COLUMN queue_pos;

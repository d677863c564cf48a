-- The ten figures of a report beside its text, so that they can be averaged in
-- plain SQL. They are added, and may be absent: a server of the version before
-- goes on writing rows that have none.

-- +goose Up
ALTER TABLE status_history ADD COLUMN cpu_user    DOUBLE PRECISION;
ALTER TABLE status_history ADD COLUMN cpu_system  DOUBLE PRECISION;
ALTER TABLE status_history ADD COLUMN cpu_idle    DOUBLE PRECISION;
ALTER TABLE status_history ADD COLUMN cpu_iowait  DOUBLE PRECISION;
ALTER TABLE status_history ADD COLUMN mem_total   DOUBLE PRECISION;
ALTER TABLE status_history ADD COLUMN mem_free    DOUBLE PRECISION;
ALTER TABLE status_history ADD COLUMN mem_cache   DOUBLE PRECISION;
ALTER TABLE status_history ADD COLUMN root_total  DOUBLE PRECISION;
ALTER TABLE status_history ADD COLUMN root_used   DOUBLE PRECISION;
ALTER TABLE status_history ADD COLUMN root_percent DOUBLE PRECISION;
-- What retention finds the oldest by. Events have their pos.
CREATE INDEX status_history_at ON status_history (at);
CREATE INDEX orders_ended ON orders (ended_time) WHERE ended_time IS NOT NULL;

-- +goose Down
DROP INDEX orders_ended;
DROP INDEX status_history_at;
ALTER TABLE status_history DROP COLUMN root_percent;
ALTER TABLE status_history DROP COLUMN root_used;
ALTER TABLE status_history DROP COLUMN root_total;
ALTER TABLE status_history DROP COLUMN mem_cache;
ALTER TABLE status_history DROP COLUMN mem_free;
ALTER TABLE status_history DROP COLUMN mem_total;
ALTER TABLE status_history DROP COLUMN cpu_iowait;
ALTER TABLE status_history DROP COLUMN cpu_idle;
ALTER TABLE status_history DROP COLUMN cpu_system;
ALTER TABLE status_history DROP COLUMN cpu_user;

-- The names of devices in pages, 64 to a page, so that a part of a name is looked
-- for in few rows. A page is never changed. Which name of a device its page has is
-- told beside it: a device that is new, or has another name since, is in none, and
-- so is one that a server of the version before has written.

-- +goose Up
CREATE TABLE name_pages (
    page  BIGINT NOT NULL PRIMARY KEY,
    names TEXT   NOT NULL
);
ALTER TABLE devices ADD COLUMN name_page  BIGINT NOT NULL DEFAULT 0;
ALTER TABLE devices ADD COLUMN name_paged TEXT   NOT NULL DEFAULT '';
UPDATE devices SET name_page = p.page, name_paged = name_folded
    FROM (SELECT device_id, (ROW_NUMBER() OVER (ORDER BY device_id) + 63) / 64 AS page FROM devices) AS p
    WHERE p.device_id = devices.device_id;
INSERT INTO name_pages (page, names)
    SELECT name_page, STRING_AGG(name_paged, ' ') FROM devices GROUP BY name_page;
INSERT INTO counters (name, value) SELECT 'name page', COUNT(*) FROM name_pages;
CREATE INDEX devices_page ON devices (name_page);
-- Of columns that differ PostgreSQL thinks that nearly all do, and of this that few do.
CREATE INDEX devices_unpaged ON devices (device_id)
    WHERE CASE name_paged WHEN name_folded THEN 0 ELSE 1 END = 1;

-- +goose Down
DROP INDEX devices_unpaged;
DROP INDEX devices_page;
DELETE FROM counters WHERE name = 'name page';
ALTER TABLE devices DROP COLUMN name_paged;
ALTER TABLE devices DROP COLUMN name_page;
DROP TABLE name_pages;

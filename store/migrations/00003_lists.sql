-- A page of devices reads what it shows, whatever it is filtered by: each index
-- ends with what orders the list. For a part of a name all names are read, and
-- here they are small and in order.

-- +goose Up
CREATE INDEX devices_state ON devices (state, device_id);
CREATE INDEX devices_type ON devices (type, device_id);
CREATE INDEX devices_model ON devices (model, device_id);
CREATE INDEX devices_name ON devices (device_id, name_folded);

-- +goose Down
DROP INDEX devices_name;
DROP INDEX devices_model;
DROP INDEX devices_type;
DROP INDEX devices_state;

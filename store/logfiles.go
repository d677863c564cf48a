package store

import (
	"context"

	"github.com/edgetether/tether/schema"
)

const logFileColumns = "order_id, device_id, bytes, sha256, created_time"

func scanLogFile(r scanner) (f schema.LogFile, err error) {
	return f, r.Scan(&f.OrderID, &f.DeviceID, &f.Bytes, &f.SHA256, &f.CreatedTime)
}

// AddLogFile stores f, once for an order, with its upload event, and forgets
// the device's files beyond the newest keep: it returns those, oldest first.
// Of a device that is not there nothing is stored.
func (s *Store) AddLogFile(ctx context.Context, f schema.LogFile, keep int) (drop []schema.LogFile, err error) {
	return change(ctx, s, func(t *tx) ([]schema.LogFile, error) {
		if err := visible(t, schema.Everything, f.DeviceID); err != nil {
			return nil, err
		}
		n, err := t.exec(`INSERT INTO logfiles (order_id, device_id, bytes, sha256, created_time)
			VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING`, f.OrderID, f.DeviceID, f.Bytes, f.SHA256, f.CreatedTime)
		if err != nil {
			return nil, err
		}
		if n > 0 {
			t.event(schema.Event{
				DeviceID: f.DeviceID, Time: f.CreatedTime, Kind: schema.EventUpload, Outcome: outcomeSuccess, By: byDevice,
				Detail: schema.Detail("order_id", f.OrderID, "bytes", f.Bytes, "sha256", f.SHA256),
			})
		}
		return t.forgetFiles(f.DeviceID, keep)
	})
}

// forgetFiles deletes all but the newest keep rows of the device. The files
// themselves are removed after the commit, by whom they are returned to: a
// file without a row is waste, a row without its file would be a lie.
func (t *tx) forgetFiles(deviceID string, keep int) ([]schema.LogFile, error) {
	rows, err := t.rows("SELECT "+logFileColumns+` FROM logfiles WHERE device_id = $1 AND order_id NOT IN
		(SELECT order_id FROM logfiles WHERE device_id = $1 ORDER BY created_time DESC, order_id DESC LIMIT $2)
		ORDER BY created_time, order_id`, deviceID, keep)
	old, err := collect(rows, err, scanLogFile)
	if err != nil {
		return nil, err
	}
	for _, f := range old {
		if _, err := t.exec("DELETE FROM logfiles WHERE order_id = $1", f.OrderID); err != nil {
			return nil, err
		}
	}
	return old, nil
}

// ListLogFiles lists a device's uploaded logs, newest first.
func (s *Store) ListLogFiles(ctx context.Context, sc schema.Scope, deviceID string, p schema.Page) (schema.List[schema.LogFile], error) {
	var q query
	q.add("SELECT "+logFileColumns+" FROM logfiles WHERE device_id = ?", deviceID)
	return read(ctx, s, func(r querier) (schema.List[schema.LogFile], error) {
		if err := remembered(r, sc, deviceID); err != nil {
			return schema.List[schema.LogFile]{}, err
		}
		return list(r, &q, p, order{kind: 'f', number: "created_time", id: "order_id", newest: true}, scanLogFile,
			func(f schema.LogFile) cursor { return cursor{number: f.CreatedTime, id: f.OrderID} })
	})
}

// LogFile finds the uploaded log of an order; otherwise ErrFileNotFound.
func (s *Store) LogFile(ctx context.Context, sc schema.Scope, orderID string) (schema.LogFile, error) {
	var q query
	q.add("SELECT "+logFileColumns+" FROM logfiles WHERE order_id = ?", orderID)
	q.within(sc, "logfiles.device_id")
	return read(ctx, s, func(r querier) (schema.LogFile, error) {
		f, err := scanLogFile(r.row(q.text.String(), q.args...))
		return one(f, err, schema.ErrFileNotFound)
	})
}

package store

import "github.com/edgetether/tether/schema"

// Record adds e to its device's log; the store gives it seq and pos.
func (s *Store) Record(e schema.Event) {
	s.writer.keep(func(t *tx) error { t.event(e); return nil }, e.DeviceID, e.Time)
}

// Sample keeps a report in the history and tells of it in the device's log.
func (s *Store) Sample(m schema.Sample) {
	s.writer.keep(func(t *tx) error { return t.sample(m) }, m.DeviceID, m.Time)
}

// Told remembers that the device knows its record up to version. If that is
// lost, it is told again.
func (s *Store) Told(deviceID string, version int64) {
	s.writer.submit(&op{apply: func(t *tx) error {
		_, err := t.exec("UPDATE devices SET told_version = $2 WHERE device_id = $1 AND told_version < $2", deviceID, version)
		return err
	}})
}

// Presence applies a session's word on its device. What a session says while
// its last word still waits replaces that.
func (s *Store) Presence(p schema.Presence) { s.writer.present(p) }

// sample leaves a status event beside the row of the history.
func (t *tx) sample(m schema.Sample) error {
	text, err := jsonText(m.Status)
	if err != nil {
		return err
	}
	t.samples = append(t.samples, sampleRow(m, text))
	t.event(schema.Event{
		DeviceID: m.DeviceID, Time: m.Time, Kind: schema.EventStatus, Outcome: outcomeSuccess, By: byDevice,
		Detail: schema.RawObject(text),
	})
	return nil
}

// setPresence touches only a device that p.Epoch owns and that is not offline:
// that makes connect and disconnect alternate, whatever comes late.
func (t *tx) setPresence(p schema.Presence) error {
	n, err := t.exec(`UPDATE devices SET state = $3, state_reason = $4, last_seen_time = $5
		WHERE device_id = $1 AND owner_epoch = $2 AND state <> 'offline' AND (state <> $3 OR state_reason <> $4)`,
		p.DeviceID, p.Epoch, p.State, p.Reason, p.LastSeen)
	switch {
	case err != nil:
		return err
	case n == 0: // nothing new but the time, or not its device
		_, err = t.exec(`UPDATE devices SET last_seen_time = $3
			WHERE device_id = $1 AND owner_epoch = $2 AND state <> 'offline'`, p.DeviceID, p.Epoch, p.LastSeen)
		return err
	case p.State == schema.Offline:
		t.disconnected(p.DeviceID, p.Reason, p.Epoch, p.Now)
	default:
		t.event(schema.Event{
			DeviceID: p.DeviceID, Time: p.Now, Kind: schema.EventState, Outcome: string(p.State), By: byServer,
			Detail: schema.Detail("reason", p.Reason, "epoch", p.Epoch),
		})
	}
	return nil
}

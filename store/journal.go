package store

import "github.com/edgetether/tether/schema"

// Record adds e to its device's log; the store gives it seq and pos.
func (s *Store) Record(e schema.Event) {
	s.writer.keep(&op{join: func(_ *run, at *result) { at.event(e) }}, e.DeviceID, e.Time)
}

// Sample keeps a report in the history and tells of it in the device's log.
func (s *Store) Sample(m schema.Sample) {
	s.writer.keep(&op{join: func(r *run, at *result) { r.samples = append(r.samples, sample{at, m}) }}, m.DeviceID, m.Time)
}

// Told remembers that the device knows its record up to version. If that is
// lost, it is told again.
func (s *Store) Told(deviceID string, version int64) {
	s.writer.submit(&op{
		touches: []string{deviceID},
		join:    func(r *run, _ *result) { r.told = append(r.told, []any{deviceID, version}) },
	})
}

// Presence applies a session's word on its device. What a session says while
// its last word still waits replaces that.
func (s *Store) Presence(p schema.Presence) { s.writer.present(p) }

// presenceOp reads p when its turn comes.
func presenceOp(p *schema.Presence) *op {
	return &op{
		touches: []string{p.DeviceID},
		join:    func(r *run, at *result) { r.presences = append(r.presences, presence{at, *p}) },
	}
}

// sample is a report for the history, in a run; presence a session's word.
type (
	sample struct {
		*result
		schema.Sample
	}
	presence struct {
		*result
		schema.Presence
	}
)

// keepSamples leaves a status event beside each row of the history.
func (t *tx) keepSamples(samples []sample) error {
	texts := make([]schema.RawObject, len(samples))
	for i, m := range samples {
		var err error
		if texts[i], err = jsonBytes(m.Status); err != nil {
			return err
		}
		m.event(schema.Event{
			DeviceID: m.DeviceID, Time: m.Time, Kind: schema.EventStatus, Outcome: outcomeSuccess, By: byDevice,
			Detail: texts[i],
		})
	}
	return t.insert(insertSamples, " ON CONFLICT DO NOTHING", len(samples), func(args []any, i int) []any {
		return appendSample(args, samples[i].Sample, texts[i])
	})
}

// setTold moves told_version, which only rises. Its rows are of a device and a version.
func (t *tx) setTold(rows [][]any) error {
	_, err := idsFor(t, "device TEXT, version BIGINT", rows, `UPDATE devices SET told_version = version FROM given
		WHERE device_id = given.device AND told_version < version RETURNING device_id`)
	return err
}

// setPresences touches only a device that the epoch owns and that is not
// offline: that makes connect and disconnect alternate, whatever comes late.
func (t *tx) setPresences(presences []presence) error {
	rows := make([][]any, len(presences))
	for i, p := range presences {
		rows[i] = []any{p.DeviceID, p.Epoch, p.State, p.Reason, p.LastSeen}
	}
	const columns = "device TEXT, epoch BIGINT, becomes TEXT, why TEXT, seen BIGINT"
	changed, err := idsFor(t, columns, rows, `UPDATE devices SET state = becomes, state_reason = why, last_seen_time = seen FROM given
		WHERE device_id = given.device AND owner_epoch = epoch AND state <> 'offline' AND (state <> becomes OR state_reason <> why)
		RETURNING device_id`)
	if err != nil {
		return err
	}
	var rest [][]any // nothing new but the time, or not its device
	for i, p := range presences {
		if changed[p.DeviceID] {
			t.result = p.result
			t.present(p.Presence)
		} else {
			rest = append(rest, rows[i])
		}
	}
	_, err = idsFor(t, columns, rest, `UPDATE devices SET last_seen_time = seen FROM given
		WHERE device_id = given.device AND owner_epoch = epoch AND state <> 'offline' RETURNING device_id`)
	return err
}

// present leaves the event of a state that is new.
func (t *tx) present(p schema.Presence) {
	if p.State == schema.Offline {
		t.disconnected(p.DeviceID, p.Reason, p.Epoch, p.Now)
		return
	}
	t.event(schema.Event{
		DeviceID: p.DeviceID, Time: p.Now, Kind: schema.EventState, Outcome: string(p.State), By: byServer,
		Detail: schema.Detail("reason", p.Reason, "epoch", p.Epoch),
	})
}

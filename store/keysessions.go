package store

import (
	"context"

	"github.com/edgetether/tether/schema"
)

// AddKeySession keeps a log-in with a key that is good; otherwise
// schema.ErrKeyNotFound. The session that it replaces ends, so do those whose
// time is over, and the key's oldest if it would have too many.
func (s *Store) AddKeySession(ctx context.Context, l schema.Login) error {
	_, err := change(ctx, s, func(t *tx) (struct{}, error) {
		var good bool
		err := t.row("SELECT EXISTS (SELECT 1 FROM api_keys WHERE key_id = $1 AND revoked_time IS NULL)", l.KeyID).Scan(&good)
		if err == nil && !good {
			err = schema.ErrKeyNotFound
		}
		if err != nil {
			return struct{}{}, err
		}
		_, err = t.exec("DELETE FROM key_sessions WHERE hash = $1 OR expires_time <= $2 OR used_time <= $3",
			l.Replaces, l.CreatedTime, l.CreatedTime-l.Idle)
		if err != nil {
			return struct{}{}, err
		}
		_, err = t.exec(`DELETE FROM key_sessions WHERE key_id = $1 AND hash NOT IN
			(SELECT hash FROM key_sessions WHERE key_id = $1 ORDER BY created_time DESC, hash LIMIT $2)`, l.KeyID, l.Most-1)
		if err != nil {
			return struct{}{}, err
		}
		_, err = t.exec("INSERT INTO key_sessions (hash, key_id, created_time, used_time, expires_time) VALUES ($1, $2, $3, $3, $4)",
			l.Hash, l.KeyID, l.CreatedTime, l.ExpiresTime)
		return struct{}{}, err
	})
	return err
}

// KeySession finds a log-in by the hash of what its cookie holds, and its key as
// that is now. One that is over, was not used for idle milliseconds, or whose
// key was revoked is schema.ErrKeyNotFound.
func (s *Store) KeySession(ctx context.Context, hash string, idle, now int64) (k schema.Key, l schema.KeySession, err error) {
	k, err = read(ctx, s, func(r querier) (schema.Key, error) {
		row := r.row(`SELECT `+keyColumns+`, session_created, session_used, session_expires
			FROM api_keys JOIN (SELECT key_id AS session_key, created_time AS session_created, used_time AS session_used,
				expires_time AS session_expires FROM key_sessions WHERE hash = $1) AS s ON session_key = key_id
			WHERE revoked_time IS NULL AND session_expires > $2 AND session_used > $3`, hash, now, now-idle)
		k, err := scanKey(row, &l.CreatedTime, &l.UsedTime, &l.ExpiresTime)
		return one(k, err, schema.ErrKeyNotFound)
	})
	l.KeyID = k.KeyID
	return k, l, err
}

// EndKeySession ends a log-in, if there is one.
func (s *Store) EndKeySession(ctx context.Context, hash string) error {
	_, err := write(ctx, s, func(t *tx) (int64, error) { return t.exec("DELETE FROM key_sessions WHERE hash = $1", hash) })
	return err
}

// UsedKey notes that a key was used. Nobody waits for it, and if it is lost the
// next use is noted: its caller sees to it that there are few.
func (s *Store) UsedKey(keyID string, now int64) {
	s.writer.submit(&op{
		touches: []string{keyID},
		join:    func(r *run, _ *result) { r.usedKeys = append(r.usedKeys, []any{keyID, now}) },
	})
}

// UsedKeySession notes that a log-in was used, as UsedKey does.
func (s *Store) UsedKeySession(hash string, now int64) {
	s.writer.submit(&op{
		touches: []string{hash},
		join:    func(r *run, _ *result) { r.usedSessions = append(r.usedSessions, []any{hash, now}) },
	})
}

// setUsed moves used_time, which only rises, of keys and of log-ins.
func (t *tx) setUsed(keys, sessions [][]any) error {
	_, err := idsFor(t, "used TEXT, at BIGINT", keys, `UPDATE api_keys SET used_time = at FROM given
		WHERE key_id = given.used AND COALESCE(used_time, 0) < at RETURNING key_id`)
	if err != nil {
		return err
	}
	_, err = idsFor(t, "used TEXT, at BIGINT", sessions, `UPDATE key_sessions SET used_time = at FROM given
		WHERE hash = given.used AND used_time < at RETURNING hash`)
	return err
}

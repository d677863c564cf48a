package store

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/edgetether/tether/schema"
)

const keyColumns = "key_id, name, role, group_ids, created_time, used_time, revoked_time"

// scanKey reads keyColumns, and into more what comes after them.
func scanKey(r scanner, more ...any) (k schema.Key, err error) {
	var groups string
	if err := r.Scan(append([]any{&k.KeyID, &k.Name, &k.Role, &groups, &k.CreatedTime, &k.UsedTime, &k.RevokedTime}, more...)...); err != nil {
		return schema.Key{}, err
	}
	if err := json.Unmarshal([]byte(groups), &k.GroupIDs); err != nil {
		return schema.Key{}, fmt.Errorf("store: stored JSON: %w", err)
	}
	return k, nil
}

// HasKeys says whether a key was ever made.
func (s *Store) HasKeys(ctx context.Context) (bool, error) {
	return read(ctx, s, func(r querier) (some bool, err error) {
		err = r.row("SELECT EXISTS (SELECT 1 FROM api_keys)").Scan(&some)
		return some, err
	})
}

// KeyByHash finds the unrevoked key of a hash that HashToken made; otherwise
// schema.ErrKeyNotFound.
func (s *Store) KeyByHash(ctx context.Context, hash string) (schema.Key, error) {
	return read(ctx, s, func(r querier) (schema.Key, error) {
		k, err := scanKey(r.row("SELECT "+keyColumns+" FROM api_keys WHERE hash = $1 AND revoked_time IS NULL", hash))
		return one(k, err, schema.ErrKeyNotFound)
	})
}

// AddKey stores k by its hash. The groups that it is limited to must be there.
func (s *Store) AddKey(ctx context.Context, k schema.Key, hash string) error {
	groups := k.GroupIDs
	if groups == nil {
		groups = []string{}
	}
	text, err := jsonText(groups)
	if err != nil {
		return err
	}
	_, err = change(ctx, s, func(t *tx) (struct{}, error) {
		for _, id := range groups {
			if _, err := groupIn(t, schema.Everything, id); err != nil {
				return struct{}{}, err
			}
		}
		_, err := t.exec(`INSERT INTO api_keys (key_id, name, hash, role, group_ids, created_time)
			VALUES ($1, $2, $3, $4, $5, $6)`, k.KeyID, k.Name, hash, k.Role, text, k.CreatedTime)
		return struct{}{}, err
	})
	return err
}

// ListKeys lists all keys, revoked ones too, by their identifier.
func (s *Store) ListKeys(ctx context.Context, p schema.Page) (schema.List[schema.Key], error) {
	var q query
	q.add("SELECT " + keyColumns + " FROM api_keys WHERE TRUE")
	return read(ctx, s, func(r querier) (schema.List[schema.Key], error) {
		return list(r, &q, p, order{kind: 'k', id: "key_id"}, func(r scanner) (schema.Key, error) { return scanKey(r) },
			func(k schema.Key) cursor { return cursor{id: k.KeyID} })
	})
}

// RevokeKey ends a key and its log-ins. One that is revoked already keeps its time.
func (s *Store) RevokeKey(ctx context.Context, keyID string, now int64) error {
	_, err := change(ctx, s, func(t *tx) (struct{}, error) {
		n, err := t.exec("UPDATE api_keys SET revoked_time = COALESCE(revoked_time, $2) WHERE key_id = $1", keyID, now)
		if err = touched(n, err, schema.ErrKeyNotFound); err != nil {
			return struct{}{}, err
		}
		_, err = t.exec("DELETE FROM key_sessions WHERE key_id = $1", keyID)
		return struct{}{}, err
	})
	return err
}

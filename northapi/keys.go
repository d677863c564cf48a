package northapi

import (
	"context"

	"github.com/edgetether/tether/schema"
)

type keyAdd struct {
	Name     string      `json:"name"`
	Role     schema.Role `json:"role"`
	GroupIDs []string    `json:"group_ids"` // absent or empty: all devices
}

func (q keyAdd) check() error {
	return schema.Key{Name: q.Name, Role: q.Role, GroupIDs: q.GroupIDs}.Validate()
}

// newKey is the one answer that holds the key itself.
type newKey struct {
	schema.Key
	Secret string `json:"key"`
}

func (a *api) keyAdd(ctx context.Context, _ caller, q keyAdd) (newKey, error) {
	secret := a.Secrets.NewKey()
	k := schema.Key{KeyID: a.NewID(), Name: q.Name, Role: q.Role, GroupIDs: q.GroupIDs, CreatedTime: a.millis()}
	if err := a.Keys.AddKey(ctx, k, a.Secrets.HashToken(secret)); err != nil {
		return newKey{}, err
	}
	return newKey{k, secret}, nil
}

func (a *api) keyQueryAll(ctx context.Context, _ caller, q pageOf) (schema.List[schema.Key], error) {
	return a.Keys.ListKeys(ctx, q.page)
}

// keyRef is a body that names a key.
type keyRef struct {
	KeyID string `json:"key_id"`
}

func (q keyRef) check() error { return schema.CheckID("key_id", q.KeyID) }

// keyRevoke is effective at once: keys are looked up for every request.
func (a *api) keyRevoke(ctx context.Context, _ caller, q keyRef) (keyRef, error) {
	return q, a.Keys.RevokeKey(ctx, q.KeyID, a.millis())
}

package client

import (
	"context"
	"net/http"

	"github.com/edgetether/tether/schema"
)

// NewKey is a key that was made: the one time that it is shown.
type NewKey struct {
	schema.Key
	Secret string `json:"key"`
}

// KeyAdd makes an API key; without groups it is for all devices.
func (c *Client) KeyAdd(ctx context.Context, name string, role schema.Role, groupIDs ...string) (NewKey, error) {
	body := map[string]any{"name": name, "role": role}
	if len(groupIDs) > 0 {
		body["group_ids"] = groupIDs
	}
	return send[NewKey](ctx, c, http.MethodPost, "key_add", body)
}

// KeyQueryAll is a page of the keys, without what they are.
func (c *Client) KeyQueryAll(ctx context.Context, p schema.Page) (schema.List[schema.Key], error) {
	return get[schema.List[schema.Key]](ctx, c, "key_query_all", parameters{}.page(p))
}

// KeyRevoke revokes a key: it is refused from now on.
func (c *Client) KeyRevoke(ctx context.Context, keyID string) error {
	type keyRef struct {
		KeyID string `json:"key_id"`
	}
	_, err := send[keyRef](ctx, c, http.MethodPost, "key_revoke", keyRef{keyID})
	return err
}

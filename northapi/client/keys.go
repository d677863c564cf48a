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

// AuditQueryAll is a page of the audit log, newest first.
func (c *Client) AuditQueryAll(ctx context.Context, f schema.AuditFilter, p schema.Page) (schema.List[schema.Audit], error) {
	q := parameters{}.number("since", f.Since).number("until", f.Until).text("by", f.By).text("service", f.Service)
	return get[schema.List[schema.Audit]](ctx, c, "audit_query_all", q.page(p))
}

// LoggedIn says as whom requests are carried out.
type LoggedIn struct {
	By       string      `json:"by"` // "key:NAME"
	Role     schema.Role `json:"role"`
	GroupIDs []string    `json:"group_ids"`    // empty: all devices
	Expires  *int64      `json:"expires_time"` // of the log-in; nil: by the client's key
}

// Login exchanges a key for a cookie. It is for a Client without a key of its
// own, whose Options.HTTP has a cookie jar.
func (c *Client) Login(ctx context.Context, key string) (LoggedIn, error) {
	return send[LoggedIn](ctx, c, http.MethodPost, "/login", map[string]string{"key": key})
}

// LoginQuery says as whom the client's requests are carried out.
func (c *Client) LoginQuery(ctx context.Context) (LoggedIn, error) {
	return get[LoggedIn](ctx, c, "/login", nil)
}

// Logout ends a log-in by cookie.
func (c *Client) Logout(ctx context.Context) error {
	_, err := send[struct{}](ctx, c, http.MethodPost, "/logout", struct{}{})
	return err
}

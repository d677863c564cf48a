package client

import "context"

// health is what both probes answer.
type health struct {
	Version string `json:"version"`
}

// Healthz is the version of the service, if its process serves.
func (c *Client) Healthz(ctx context.Context) (version string, err error) {
	h, err := get[health](ctx, c, "/healthz", nil)
	return h.Version, err
}

// Readyz is the version of the service, if requests should be sent to it.
func (c *Client) Readyz(ctx context.Context) (version string, err error) {
	h, err := get[health](ctx, c, "/readyz", nil)
	return h.Version, err
}

package client

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/edgetether/tether/schema"
)

// DeviceLogfileQuery is a page of the logs that a device has sent, newest first.
func (c *Client) DeviceLogfileQuery(ctx context.Context, deviceID string, p schema.Page) (schema.List[schema.LogFile], error) {
	return get[schema.List[schema.LogFile]](ctx, c, "device_logfile_query", parameters{}.page(p), deviceID)
}

// DeviceLogfile writes the log that an upload_log order brought to to, and
// returns its size. An error beside a size means that to has a part of it, or
// bytes that are not what the device has sent.
func (c *Client) DeviceLogfile(ctx context.Context, orderID string, to io.Writer) (int64, error) {
	q := request{method: http.MethodGet, service: "device_logfile", ids: []string{orderID}}
	sum := sha256.New()
	n, header, err := c.copy(ctx, q, io.MultiWriter(to, sum))
	if err != nil {
		return n, err
	}
	if want := strings.Trim(header.Get("ETag"), `"`); want != hex.EncodeToString(sum.Sum(nil)) {
		return n, fmt.Errorf("the log of order %s arrived damaged: its SHA-256 should be %q", orderID, want)
	}
	return n, nil
}

// Document writes one of the service's documents, such as /openapi.json, to to.
func (c *Client) Document(ctx context.Context, path string, to io.Writer) (int64, error) {
	n, _, err := c.copy(ctx, request{method: http.MethodGet, service: path}, to)
	return n, err
}

// copy writes an answer that is bytes and not an envelope to to.
func (c *Client) copy(ctx context.Context, q request, to io.Writer) (int64, http.Header, error) {
	req, err := c.request(ctx, q)
	if err != nil {
		return 0, nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		_, err := dataOf(resp)
		return 0, nil, err
	}
	n, err := io.Copy(to, io.LimitReader(resp.Body, MaxFile+1))
	if err == nil && n > MaxFile {
		err = fmt.Errorf("%s: the answer has more than %d bytes", req.URL.Host, MaxFile)
	}
	return n, resp.Header, err
}

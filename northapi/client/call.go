package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/edgetether/tether/schema"
)

// Bounds of a call.
const (
	// MaxAnswer bounds an answer that is read whole, in bytes. Pages of
	// DefaultPageLimit are below it whatever is in them.
	MaxAnswer = 16 << 20
	// MaxFile bounds a log or a document, in bytes. It is what the service
	// takes of a device's log.
	MaxFile = 64 << 20
	// callTimeout is how long an answer may take to be whole. The longest
	// waits for an order's outcome: OrderTimeout and what the store needs.
	callTimeout = time.Minute
	// tries is how often a call that may be repeated is made in all.
	tries = 4
	// firstPause is before the second try, and doubles; Retry-After is heeded
	// instead where it is given. Who is told to wait for longer than
	// longestPause is told the error.
	firstPause   = 500 * time.Millisecond
	longestPause = 30 * time.Second
)

// request is what all calls are made of.
type request struct {
	method  string
	service string   // below Base; with a slash before it, outside
	ids     []string // that end the path
	query   url.Values
	body    any    // encoded as JSON; nil: none
	once    string // an Idempotency-Key
}

// get asks for what a service tells.
func get[T any](ctx context.Context, c *Client, service string, query url.Values, ids ...string) (T, error) {
	return call[T](ctx, c, request{method: http.MethodGet, service: service, query: query, ids: ids})
}

// send has a service do something.
func send[T any](ctx context.Context, c *Client, method, service string, body any) (T, error) {
	return call[T](ctx, c, request{method: method, service: service, body: body})
}

// Call asks for a service by its name, "device_query_all?limit=1" say: one that
// this version of the package has no method for. Body and data are encoded as
// JSON; nil: there is none, or nobody wants it.
func (c *Client) Call(ctx context.Context, method, service string, body, data any) error {
	raw, err := call[json.RawMessage](ctx, c, request{method: method, service: service, body: body})
	if err != nil || data == nil {
		return err
	}
	return json.Unmarshal(raw, data)
}

// call makes the request, repeats it if that is harmless, and reads the answer's data.
func call[T any](ctx context.Context, c *Client, q request) (data T, err error) {
	for try := 1; ; try++ {
		var raw json.RawMessage
		if raw, err = c.attempt(ctx, q); err == nil {
			if err = json.Unmarshal(raw, &data); err != nil {
				err = fmt.Errorf("%s: the answer to %s cannot be read: %w", c, q.service, err)
			}
			return data, err
		}
		if try == tries || !q.repeatable(err) || sleep(ctx, pause(try, err)) != nil {
			return data, err
		}
	}
}

// repeatable says whether the request may be made again after err.
func (q request) repeatable(err error) bool {
	switch wait, later := comeBack(err); {
	case later:
		return wait <= longestPause && (q.method == http.MethodGet || q.once != "")
	case errors.As(err, new(*url.Error)): // the connection was lost, or there was none
		return q.once != "" && !errors.Is(err, context.Canceled)
	}
	return false
}

// pause is how long to wait after a try that ended with err.
func pause(try int, err error) time.Duration {
	if wait, _ := comeBack(err); wait > 0 {
		return wait
	}
	return jitter(min(firstPause<<(try-1), longestPause))
}

// jitter is around d, so that those who were refused together do not come back together.
func jitter(d time.Duration) time.Duration { return d*3/4 + rand.N(d/2) }

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// attempt makes the request once.
func (c *Client) attempt(ctx context.Context, q request) (json.RawMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	req, err := c.request(ctx, q)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return dataOf(resp)
}

// request makes the request of net/http, with the key in it.
func (c *Client) request(ctx context.Context, q request) (*http.Request, error) {
	address := c.base + q.service
	if !strings.HasPrefix(q.service, "/") {
		address = c.base + Base + "/" + q.service
	}
	for _, id := range q.ids {
		if err := schema.CheckID("id", id); err != nil {
			return nil, err
		}
		address += "/" + id
	}
	if len(q.query) > 0 {
		address += "?" + q.query.Encode()
	}
	var body io.Reader
	if q.body != nil {
		b, err := json.Marshal(q.body)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, q.method, address, body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if q.once != "" {
		req.Header.Set("Idempotency-Key", q.once)
	}
	if key := c.key(); key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	} else if q.method != http.MethodGet {
		req.Header.Set("Origin", req.URL.Scheme+"://"+req.URL.Host) // which a change by cookie has to name
	}
	return req, nil
}

// envelope is that of northbound section 1.
type envelope struct {
	Status  string          `json:"status"`
	Type    string          `json:"type"`
	Code    string          `json:"code"`
	Message string          `json:"message"`
	Data    json.RawMessage `json:"data"`
}

// dataOf reads an answer: its data, or the error that it tells.
func dataOf(resp *http.Response) (json.RawMessage, error) {
	raw, err := io.ReadAll(io.LimitReader(resp.Body, MaxAnswer+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: the answer broke off: %w", resp.Request.URL.Host, err)
	case len(raw) > MaxAnswer:
		return nil, fmt.Errorf("%s: the answer has more than %d bytes; ask for smaller pages", resp.Request.URL.Host, MaxAnswer)
	}
	var e envelope
	good := resp.StatusCode/100 == 2
	if json.Unmarshal(raw, &e) == nil && good && e.Status == "success" {
		return e.Data, nil
	}
	if good || e.Status != "fail" || e.Code == "" {
		return nil, newForeign(resp)
	}
	return nil, errorOf(resp, e)
}

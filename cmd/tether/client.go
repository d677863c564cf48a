package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/edgetether/tether/northapi"
	"github.com/edgetether/tether/schema"
)

// client is the business service of the demo and of the simulator: it asks by
// HTTP, as any other would.
type client struct {
	base, key string
	http      http.Client
}

// answer is the envelope of northbound section 1.
type answer struct {
	Status  string          `json:"status"`
	Data    json.RawMessage `json:"data"`
	Code    string          `json:"code"`
	Message string          `json:"message"`
}

// failure is an answer that is no success.
type failure struct{ code, message string }

// Code is the stable word that a program can switch on.
func (f *failure) Code() string { return f.code }

// Error is the code, for programs, and the message.
func (f *failure) Error() string { return f.code + ": " + f.message }

// statusAnswer is a device's last report, as device_statusInfo_query tells it.
type statusAnswer struct {
	State  schema.DevState   `json:"dev_state"`
	Report schema.StatusInfo `json:"report"`
}

// register adds a device, or gives a known one a new password.
func (c client) register(ctx context.Context, d *demoDevice) error {
	var added struct {
		DeviceID string `json:"device_id"`
		Password string `json:"password"`
	}
	hardware := schema.Hardware{SN: "DEMO-" + d.name, Model: "demo"}
	err := c.post(ctx, "device_add", map[string]any{"device_name": d.name, "device_type": "press", "hardware": hardware}, &added)
	var f *failure
	if errors.As(err, &f) && f.code == "device_exists" {
		var list schema.List[schema.Device]
		if err := c.get(ctx, "device_query_all?model=demo&sn="+hardware.SN, &list); err != nil {
			return err
		}
		for _, known := range list.Items {
			added.DeviceID = known.DeviceID
		}
		err = c.do(ctx, http.MethodPut, "device_password_update", map[string]any{"device_id": added.DeviceID}, &added)
	}
	d.id, d.password = added.DeviceID, added.Password
	return err
}

func (c client) giveOrder(ctx context.Context, deviceID, order string, params json.RawMessage) (schema.Order, error) {
	body := map[string]any{"device_id": deviceID, "order": order}
	if params != nil {
		body["params"] = params
	}
	var o schema.Order
	return o, c.post(ctx, "give_order", body, &o)
}

func (c client) get(ctx context.Context, path string, data any) error {
	return c.do(ctx, http.MethodGet, path, nil, data)
}

func (c client) post(ctx context.Context, path string, body, data any) error {
	return c.do(ctx, http.MethodPost, path, body, data)
}

func (c client) do(ctx context.Context, method, path string, body, data any) error {
	raw, err := c.send(ctx, method, path, body)
	if err != nil {
		return err
	}
	var a answer
	if err := json.Unmarshal(raw, &a); err != nil {
		return err
	}
	if a.Status != "success" {
		return &failure{a.Code, a.Message}
	}
	return json.Unmarshal(a.Data, data)
}

// raw gets bytes that are not in an envelope.
func (c client) raw(ctx context.Context, path string) ([]byte, error) {
	return c.send(ctx, http.MethodGet, path, nil)
}

func (c client) send(ctx context.Context, method, path string, body any) ([]byte, error) {
	var content io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		content = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+northapi.Base+"/"+path, content)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+c.key)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return raw, resp.Body.Close()
}

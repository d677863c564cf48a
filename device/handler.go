package device

import (
	"context"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/edgetether/tether/rpc"
	"github.com/edgetether/tether/schema"
)

// Results travel in one message; these leave room for the rest of it.
const (
	maxResultData    = schema.MaxMessage - 8<<10
	maxResultMessage = 1 << 10
)

// handler carries out orders of one type.
type handler func(ctx context.Context, o schema.GiveOrder) schema.OrderResult

// On registers the handler of a custom order; a method cannot have a type
// parameter, so this is a function. The order's params are decoded into P
// strictly: an unknown member or a wrong type fails the order with a message
// that names the member, and h is not called. Params that are absent or empty
// give P's zero value.
//
// What h returns becomes the order's data: an object as it is, anything else as
// {"value": …}, nil as none. An error fails the order with its text.
func On[P any](d *Device, name string, h func(ctx context.Context, params P) (any, error)) {
	d.On(name, func(ctx context.Context, raw stdjson.RawMessage) (any, error) {
		var params P
		if err := decodeParams(raw, &params); err != nil {
			return nil, err
		}
		return h(ctx, params)
	})
}

// On registers the handler of a custom order, given the params as they came: a
// JSON object. The name is a letter followed by letters, digits, "_", "." and
// "-"; a wrong one, one of the framework's, or one given twice is Run's error.
// Orders are carried out one at a time, in a goroutine that Run owns; h should
// return when ctx ends. An order whose h panics has failed.
func (d *Device) On(name string, h func(ctx context.Context, params stdjson.RawMessage) (any, error)) {
	err := schema.CheckOrder("name", name)
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case err != nil:
	case h == nil:
		err = errors.New("the handler is nil")
	case schema.IsInner(name):
		err = errors.New("the library carries it out itself")
	case d.custom[name] != nil:
		err = errors.New("registered twice")
	default:
		d.custom[name] = func(ctx context.Context, o schema.GiveOrder) schema.OrderResult {
			return resultOf(h(ctx, orEmpty(o.Params)))
		}
		return
	}
	d.misuse = errors.Join(d.misuse, fmt.Errorf("device: On(%q): %s", name, errorText(err)))
}

func orEmpty(params schema.RawObject) schema.RawObject {
	if len(params) == 0 || string(params) == "null" {
		return schema.RawObject("{}")
	}
	return params
}

// decodeParams decodes strictly; its error names the member.
func decodeParams(raw []byte, v any) error {
	err := json.Unmarshal(raw, v, json.RejectUnknownMembers(true))
	var wrong *json.SemanticError
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &wrong):
		return errors.New("params: not a valid JSON object")
	}
	member := "params" + strings.ReplaceAll(string(wrong.JSONPointer), "/", ".")
	switch {
	case errors.Is(err, json.ErrUnknownName):
		return fmt.Errorf("%s: unknown member", member)
	case wrong.Err != nil:
		return fmt.Errorf("%s: %w", member, wrong.Err)
	}
	return fmt.Errorf("%s: must not be a JSON %s", member, wrong.JSONKind)
}

// resultOf makes an order's result of what a handler returned.
func resultOf(value any, err error) schema.OrderResult {
	if err != nil {
		return failed(errorText(err))
	}
	result := schema.OrderResult{Status: schema.ResultSuccess, Message: "done"}
	if value == nil {
		return result
	}
	data, err := stdjson.Marshal(value)
	if err == nil && string(data) != "null" && data[0] != '{' {
		data = fmt.Appendf(nil, `{"value":%s}`, data)
	}
	switch {
	case err != nil || rpc.CheckValue("data", data, schema.MaxParamsDepth) != nil:
		result.Message = "done; its data has no JSON form"
	case len(data) > maxResultData:
		result.Message = fmt.Sprintf("done; its data is left out: %d bytes, %d are the limit", len(data), maxResultData)
	case string(data) != "null":
		result.Data = data
	}
	return result
}

func failed(message string) schema.OrderResult {
	return schema.OrderResult{Status: schema.ResultFail, Message: message}
}

// errorText is what the server is told of an error.
func errorText(err error) string {
	text := err.Error()
	var known *schema.Error
	if errors.As(err, &known) {
		text = known.Message
	}
	return strings.ToValidUTF8(text[:min(len(text), maxResultMessage)], "")
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"

	"github.com/coder/websocket"
)

// outward passes what the library sends to the server: [x] becomes x.
func outward(from io.Reader, ws *websocket.Conn) {
	dec := json.NewDecoder(from)
	for {
		var raw json.RawMessage
		if dec.Decode(&raw) != nil {
			return
		}
		if ws.Write(context.Background(), websocket.MessageText, each(raw, named)) != nil {
			return
		}
	}
}

// inward passes what the server sends to the library: x becomes [x].
func inward(ws *websocket.Conn, to io.Writer) error {
	for {
		_, raw, err := ws.Read(context.Background())
		if err != nil {
			return err
		}
		if _, err := to.Write(each(raw, positional)); err != nil {
			return err
		}
	}
}

// message is a JSON-RPC message of any kind, with the members in their order.
type message struct {
	Version json.RawMessage `json:"jsonrpc,omitempty"`
	ID      json.RawMessage `json:"id,omitempty"`
	Method  json.RawMessage `json:"method,omitempty"`
	Params  json.RawMessage `json:"params,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   json.RawMessage `json:"error,omitempty"`
}

// each changes the params of a message, or of each of a batch.
func each(raw json.RawMessage, change func(json.RawMessage) json.RawMessage) json.RawMessage {
	var batch []message
	if json.Unmarshal(raw, &batch) == nil {
		for i := range batch {
			batch[i].Params = change(batch[i].Params)
		}
		return encode(batch)
	}
	var one message
	if json.Unmarshal(raw, &one) != nil {
		return raw
	}
	one.Params = change(one.Params)
	return encode(one)
}

func encode(v any) json.RawMessage {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(err) // it was decoded a moment ago
	}
	return bytes.TrimSpace(b.Bytes())
}

func named(params json.RawMessage) json.RawMessage {
	var list []json.RawMessage
	if json.Unmarshal(params, &list) == nil && len(list) == 1 && list[0][0] == '{' {
		return list[0]
	}
	return params
}

func positional(params json.RawMessage) json.RawMessage {
	if len(params) > 0 && params[0] == '{' {
		return encode([]json.RawMessage{params})
	}
	return params
}

// Package rpc is one JSON-RPC 2.0 peer over one WebSocket.
package rpc

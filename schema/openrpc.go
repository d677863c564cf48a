package schema

import (
	_ "embed"
	"encoding/json"
)

// The OpenRPC documents of the two directions: what programs in other languages
// can be made from. Each is whole, no reference leaves it. Tests hold them to
// the types and constants of this package, so that neither drifts.
var (
	// OpenRPCDevice is the direction from device to cloud, and what rpc.discover
	// answers. Close codes, limits and times stand in it for both directions.
	//
	//go:embed openrpc-device.json
	OpenRPCDevice json.RawMessage

	// OpenRPCCloud is the direction from cloud to device.
	//
	//go:embed openrpc-cloud.json
	OpenRPCCloud json.RawMessage
)

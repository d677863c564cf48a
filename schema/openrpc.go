package schema

import (
	_ "embed"
	"encoding/json"
)

// OpenRPCDevice is the OpenRPC document of the direction from device to cloud:
// what rpc.discover answers, and what a program in another language can be made
// from. A test holds it to the types of this package, so that neither drifts.
//
//go:embed openrpc-device.json
var OpenRPCDevice json.RawMessage

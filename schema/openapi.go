package schema

import (
	_ "embed"
	"encoding/json"
)

// OpenAPI is the northbound contract for programs: OpenAPI 3.1, whole, no
// reference leaves it. Tests of package northapi hold it to the routes, the
// types, the limits and the errors there are, and every answer of every test
// to it.
//
//go:embed openapi.json
var OpenAPI json.RawMessage

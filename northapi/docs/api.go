package docs

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// api is the OpenAPI document, as far as it is shown.
type api struct {
	Info  struct{ Version, Summary, Description string }
	Tags  []struct{ Name, Description string }
	Paths ordered[ordered[operation]]
	// Schemas are also those of contract, which resolves them.
	Components struct {
		SecuritySchemes struct{ Key struct{ Description string } }
		Parameters      map[string]parameter
		Examples        map[string]shown
		Responses       map[string]response
		Schemas         ordered[shape]
	}
	Elsewhere ordered[response] `json:"x-elsewhere"`
}

type operation struct {
	OperationID, Summary, Description string
	Tags                              []string
	Role                              string `json:"x-role"`
	Unlimited                         bool   `json:"x-unlimited"`
	Parameters                        []reference
	RequestBody                       struct{ Content ordered[media] }
	Responses                         ordered[response]
}

type parameter struct {
	Name, In, Description string
	Schema                shape
}

type response struct {
	reference
	Description string
	Content     ordered[media]
}

// media is a body in one of its forms.
type media struct {
	Schema   shape
	Line     reference `json:"x-line"`
	Example  string    // of a form that is no JSON
	Examples ordered[shown]
}

type shown struct {
	reference
	Value json.RawMessage
}

// ordered is an object whose members keep the order in which they stand in
// the document.
type ordered[T any] []named[T]

type named[T any] struct {
	Name string
	It   T
}

// UnmarshalJSON reads the object member by member.
func (o *ordered[T]) UnmarshalJSON(text []byte) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	if _, err := dec.Token(); err != nil {
		return err
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return err
		}
		one := named[T]{Name: fmt.Sprint(name)}
		if err := dec.Decode(&one.It); err != nil {
			return err
		}
		*o = append(*o, one)
	}
	return nil
}

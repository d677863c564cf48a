package northapi

import (
	"github.com/edgetether/tether/schema"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// optional is a member of a change, which may be left out, null, or given:
// three things that a pointer cannot tell apart.
type optional[T any] struct {
	given bool
	null  bool
	value T
}

// UnmarshalJSONFrom is called only if the member is there.
func (o *optional[T]) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	o.given, o.null = true, d.PeekKind() == 'n'
	return json.UnmarshalDecode(d, &o.value)
}

// change is what a patch takes: nil leaves as it is, the zero value clears.
func (o optional[T]) change() *T {
	if !o.given {
		return nil
	}
	return &o.value
}

// notNull refuses null where there is nothing to clear.
func (o optional[T]) notNull(member string) error {
	if o.null {
		return schema.InvalidMember(member, "must not be null")
	}
	return nil
}

// secret is a password on its way in. Whatever prints it does not.
type secret string

// String hides the secret from all verbs of package fmt that call it.
func (secret) String() string { return "[secret]" }

// GoString hides it from %#v.
func (secret) GoString() string { return "[secret]" }

// checkPassword checks one that may have been left out.
func checkPassword(s *secret) error {
	if s == nil {
		return nil
	}
	return schema.CheckPassword("password", string(*s))
}

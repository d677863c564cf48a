package store

import (
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxCursor is more than any of ours takes.
const maxCursor = 256

// cursor is the key of the last row of a page. Outside it is base64, so that
// nobody is tempted to make one.
type cursor struct {
	kind   byte
	number int64
	id     string
}

var errCursor = errors.New("store: no cursor")

func (c cursor) encode() string {
	return base64.RawURLEncoding.EncodeToString([]byte(string(c.kind) + strconv.FormatInt(c.number, 10) + ":" + c.id))
}

// decodeCursor takes what encode makes, and nothing else.
func decodeCursor(text string) (cursor, error) {
	if len(text) > maxCursor {
		return cursor{}, errCursor
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) == 0 || !utf8.Valid(b) {
		return cursor{}, errCursor
	}
	number, id, ok := strings.Cut(string(b[1:]), ":")
	if !ok || strings.ContainsFunc(id, unicode.IsControl) {
		return cursor{}, errCursor
	}
	c := cursor{kind: b[0], id: id}
	if c.number, err = strconv.ParseInt(number, 10, 64); err != nil || c.encode() != text {
		return cursor{}, errCursor
	}
	return c, nil
}

package store

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// byServer names the service itself as the author of an event, byDevice the device.
const (
	byServer = "server"
	byDevice = "device"
)

// outcomeSuccess is the outcome of events that tell of something done.
const outcomeSuccess = "success"

// fold makes names comparable: composed, and without case. It is done here
// because LIKE and lower() differ between engines.
func fold(s string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			least = min(least, f)
		}
		return least
	}, norm.NFC.String(s))
}

var likeEscaper = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

// containing is the LIKE pattern, with ESCAPE '\', of texts that contain s.
func containing(s string) string {
	return "%" + likeEscaper.Replace(fold(s)) + "%"
}

// storable makes args fit both engines: PostgreSQL takes neither a NUL in a
// text nor what is not UTF-8, and a device may send either.
func storable(args []any) []any {
	for i, v := range args {
		if s, ok := v.(string); ok && (strings.IndexByte(s, 0) >= 0 || !utf8.ValidString(s)) {
			args[i] = strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", "\ufffd"), "\ufffd")
		}
	}
	return args
}

// jsonText is v as it is kept.
func jsonText(v any) (string, error) {
	b, err := jsonBytes(v)
	return string(b), err
}

func jsonBytes(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("store: encode: %w", err)
	}
	return b, nil
}

// optionalJSON is v as it is kept; a nil or zero one is NULL.
func optionalJSON[T comparable](v *T) (sql.NullString, error) {
	var zero T
	if v == nil || *v == zero {
		return sql.NullString{}, nil
	}
	text, err := jsonText(v)
	return sql.NullString{String: text, Valid: true}, err
}

// parseOptional is the reverse of optionalJSON.
func parseOptional[T any](text sql.NullString) (*T, error) {
	if !text.Valid {
		return nil, nil
	}
	v := new(T)
	if err := json.Unmarshal([]byte(text.String), v); err != nil {
		return nil, fmt.Errorf("store: stored JSON: %w", err)
	}
	return v, nil
}

// rawText keeps an object of others as it came; none is NULL.
func rawText(raw []byte) sql.NullString {
	return sql.NullString{String: string(raw), Valid: len(raw) > 0}
}

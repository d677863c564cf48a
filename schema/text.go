package schema

import "fmt"

// EscapeControls escapes the characters U+007F to U+009F, as \u00XX. JSON may have them as
// they are, and zerolog leaves them, but a terminal may obey them (reliability T19).
// Without any, text itself is returned. What is below U+0020 the encoders escape.
func EscapeControls(text []byte) []byte {
	var safe []byte
	done := 0
	for i, c := range text {
		n := 1
		switch {
		case c == 0x7f:
		case c == 0xc2 && i+1 < len(text) && text[i+1] >= 0x80 && text[i+1] <= 0x9f: // as UTF-8
			n, c = 2, text[i+1]
		default:
			continue
		}
		safe = fmt.Appendf(append(safe, text[done:i]...), `\u%04x`, c)
		done = i + n
	}
	if done == 0 {
		return text
	}
	return append(safe, text[done:]...)
}

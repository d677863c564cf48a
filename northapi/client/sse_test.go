package client

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// allOf reads a stream to its end.
func allOf(from io.Reader) (all []message, err error) {
	for s := newMessages(from); ; {
		m, err := s.next()
		if err != nil {
			return all, err
		}
		all = append(all, m)
	}
}

// TestMessages: the forms that a stream may have (HTML, section 9.2.6).
func TestMessages(t *testing.T) {
	for text, want := range map[string][]message{
		"":                                   nil,
		"data: x\n":                          nil, // it broke off
		"\n":                                 {{}},
		"id: 7\nevent: state\ndata: {}\n\n":  {{id: "7", event: "state", data: []byte("{}")}},
		"data:x\r\n\r\ndata:  y\r\rid:1\n\n": {{data: []byte("x")}, {data: []byte(" y")}, {id: "1"}},
		"data: a\ndata\ndata: b\n\n":         {{data: []byte("a\n\nb")}},
		"data\n\n":                           {{data: []byte("")}},
		": hello\n:\nid: 3\n\n":              {{id: "3"}},
		"retry: 2000\nretry: x\nid: a\x00b\nunknown: 1\n\n": {{retry: 2 * time.Second}},
		"retry: -1\n\n":                 {{}},
		"\ufeffdata: x\n\n":             {{data: []byte("x")}},
		"data: x\n\n\ufeffdata: y\n\n":  {{data: []byte("x")}, {}},
		"data: x\n\n\n\ndata: y\n\ndat": {{data: []byte("x")}, {}, {}, {data: []byte("y")}},
	} {
		if got, err := allOf(strings.NewReader(text)); err != io.EOF || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
}

// TestMessages_Size: one of a megabyte is read, one that is longer is refused,
// in whatever form; the next one counts for itself.
func TestMessages_Size(t *testing.T) {
	longest := "data: " + strings.Repeat("x", maxMessage-len("data: \n\n")) + "\n\n"
	if got, err := allOf(strings.NewReader(longest + longest)); err != io.EOF || len(got) != 2 || len(got[1].data) != maxMessage-len("data: \n\n") {
		t.Errorf("%d messages, %v", len(got), err)
	}
	for name, text := range map[string]string{
		"a byte more": "d" + longest,
		"many lines":  strings.Repeat("data: x\n", maxMessage/8) + "\n",
		"comments":    strings.Repeat(":\n", maxMessage/2+1),
	} {
		if got, err := allOf(strings.NewReader(text)); !errors.Is(err, errNonsense) || len(got) != 0 {
			t.Errorf("%s: %d messages, %v", name, len(got), err)
		}
	}
}

// FuzzMessages: a stream has the same messages however its bytes arrive and
// whichever line ends it has, and none is longer than what arrived.
func FuzzMessages(f *testing.F) {
	f.Add([]byte("retry: 2000\nid: 1\n\nid: 2\nevent: state\ndata: {\"pos\":2}\n\n:\nid: 3\n\n"))
	f.Add([]byte("data: a\r\ndata: b\r\r\n\n\ufeffid: 1\n\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		want, err := allOf(bytes.NewReader(text))
		if err != io.EOF && !errors.Is(err, errNonsense) {
			t.Fatal(err)
		}
		size := 0
		for _, m := range want {
			size += len(m.data) + len(m.id) + len(m.event)
		}
		if size > len(text) {
			t.Errorf("%d bytes of %d", size, len(text))
		}
		same := func(how string, from io.Reader) {
			if got, _ := allOf(from); !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %+v, not %+v", how, got, want)
			}
		}
		same("byte by byte", iotest.OneByteReader(bytes.NewReader(text)))
		if !bytes.Contains(text, []byte("\r")) && len(text) < maxMessage/2 {
			same("with CR", bytes.NewReader(bytes.ReplaceAll(text, []byte("\n"), []byte("\r"))))
			same("with CR LF", bytes.NewReader(bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))))
		}
	})
}

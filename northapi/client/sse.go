package client

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// maxMessage bounds a server-sent event, in bytes. Those of the service are far
// below it.
const maxMessage = 1 << 20

// errNonsense is an answer that is no stream of events.
var errNonsense = errors.New("what came is no stream of events of a tether service")

// message is what a blank line ends. One without data is no event, but may
// have an id to resume after (HTML, section 9.2.6).
type message struct {
	id    string // empty: it has none
	event string // empty: it has no name
	data  []byte
	retry time.Duration // 0: it says nothing
}

// messages reads server-sent events.
type messages struct {
	from  *bufio.Reader
	size  int  // of the message so far
	begun bool // something was read
	cr    bool // the last line ended with a CR, to which an LF may belong
}

func newMessages(from io.Reader) *messages { return &messages{from: bufio.NewReader(from)} }

// next reads up to the next blank line. What comes after the last one is no
// message: the stream broke off in it.
func (s *messages) next() (m message, err error) {
	s.size = 0
	var data []byte
	for {
		line, err := s.line()
		if err != nil {
			return message{}, err
		}
		if len(line) == 0 {
			m.data = bytes.TrimSuffix(data, []byte("\n"))
			return m, nil
		}
		field, value, _ := strings.Cut(string(line), ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "id":
			if !strings.Contains(value, "\x00") {
				m.id = value
			}
		case "event":
			m.event = value
		case "data":
			data = append(append(data, value...), '\n')
		case "retry":
			if ms, err := strconv.ParseUint(value, 10, 31); err == nil {
				m.retry = time.Duration(ms) * time.Millisecond
			}
		}
	}
}

// line is the next line, which an LF, a CR or both end.
func (s *messages) line() ([]byte, error) {
	var line []byte
	for {
		b, err := s.from.ReadByte()
		if err != nil {
			return nil, err
		}
		if s.size++; s.size > maxMessage {
			return nil, fmt.Errorf("%w: an event has more than %d bytes", errNonsense, maxMessage)
		}
		after := s.cr
		s.cr = b == '\r'
		switch {
		case b == '\n' && after: // the other half of the end before
		case b == '\n', b == '\r':
			if !s.begun {
				line = bytes.TrimPrefix(line, []byte("\ufeff"))
			}
			s.begun = true
			return line, nil
		default:
			line = append(line, b)
		}
	}
}

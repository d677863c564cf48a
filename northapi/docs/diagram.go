package docs

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/edgetether/tether/schema/transcripts"
)

// drawing is a transcript as a sequence diagram: who is who stands at the top,
// time goes down.
type drawing struct {
	Width, Height int
	Lanes         []lane
	Rows          []mark
}

type lane struct {
	Name string
	X    int
}

// mark is an arrow from one lane to another, or words between the lanes.
type mark struct {
	Y, Text   int // of the line, and of the words above it
	From, To  int
	Head      string // the arrow's head, as points of a polygon
	Middle    int
	Label     string
	Late      bool // an answer: the line is broken
	WordsOnly bool
}

// Where things stand, in units of the drawing.
const (
	laneDevice   = 110
	laneService  = 410
	laneBusiness = 690
	drawingWidth = 800
	rowHeight    = 34
	firstRow     = 78
	headLength   = 9
)

// draw makes a drawing of a transcript.
func draw(t transcripts.Transcript) drawing {
	d := drawing{Width: drawingWidth, Lanes: []lane{{"device", laneDevice}, {"service", laneService}, {"business service", laneBusiness}}}
	at := firstRow
	for _, s := range t.Steps {
		m, ok := markOf(s)
		if !ok {
			continue
		}
		m.Y, m.Text = at, at-6
		m.Middle = (m.From + m.To) / 2
		m.Head = head(m)
		d.Rows = append(d.Rows, m)
		at += rowHeight
	}
	d.Height = at
	return d
}

func markOf(s transcripts.Step) (mark, bool) {
	words := strings.Join(s.Args, ", ")
	switch s.Verb {
	case "client":
		if code, ok := s.Arg("close %d"); ok {
			return mark{From: laneDevice, To: laneService, Label: fmt.Sprintf("close %d %s", code, s.Text)}, true
		}
		m := message(s.Text)
		m.From, m.To = laneDevice, laneService
		return m, true
	case "server":
		m := message(s.Text)
		m.From, m.To = laneService, laneDevice
		return m, true
	case "close":
		return mark{From: laneService, To: laneDevice, Label: "close " + s.Text}, true
	case "business":
		return mark{From: laneBusiness, To: laneService, Label: words}, true
	case "answer":
		return mark{From: laneService, To: laneBusiness, Label: words, Late: true}, true
	case "after":
		return mark{From: laneDevice, To: laneService, Label: words + " later", WordsOnly: true}, true
	case "drop":
		return mark{From: laneDevice, To: laneService, Label: "the connection is lost", WordsOnly: true}, true
	case "device ends":
		return mark{From: laneDevice, To: laneService, Label: "the device's process begins anew", WordsOnly: true}, true
	}
	return mark{}, false
}

// message is the arrow of a message, with what is most telling in it.
func message(text string) mark {
	var m struct {
		Method string
		Params struct {
			OrderType string `json:"order_type"`
		}
		Result json.RawMessage
		Error  struct{ Code int }
	}
	err := json.Unmarshal([]byte(withoutPlaceholders(text)), &m)
	switch {
	case err != nil:
		return mark{Label: "…"}
	case m.Method != "":
		return mark{Label: strings.TrimSpace(m.Method + " " + m.Params.OrderType)}
	case m.Error.Code != 0:
		return mark{Label: "error " + strconv.Itoa(m.Error.Code), Late: true}
	}
	return mark{Label: resultWords(m.Result), Late: true}
}

func resultWords(result json.RawMessage) string {
	var r struct{ Token, Status, Message string }
	if json.Unmarshal(result, &r) != nil {
		return string(result) // a word: "pong"
	}
	switch {
	case r.Token != "":
		return "token, heartbeat, unsettled orders"
	case r.Status != "":
		return r.Status + ": " + r.Message
	}
	return string(result)
}

// withoutPlaceholders makes JSON of a message in which numbers are left open.
func withoutPlaceholders(text string) string {
	for {
		from := strings.IndexByte(text, '<')
		to := strings.IndexByte(text, '>')
		if from < 0 || to < from {
			return text
		}
		text = text[:from] + "0" + text[to+1:]
	}
}

func head(m mark) string {
	back := headLength
	if m.To > m.From {
		back = -headLength
	}
	return fmt.Sprintf("%d,%d %d,%d %d,%d", m.To, m.Y, m.To+back, m.Y-4, m.To+back, m.Y+4)
}

// number is one of several connections or requests.
func number(n int) string { return "no. " + strconv.Itoa(n) }

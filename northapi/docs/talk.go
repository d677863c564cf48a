package docs

import (
	"strings"

	"github.com/edgetether/tether/schema/transcripts"
)

// talk is a transcript as a conversation.
type talk struct {
	Name, ID, Prose string
	Lines           []line
}

// line is one thing that happens in it.
type line struct {
	Side  string // "device", "service", "business", "time", "note": its style
	Head  string // who does what
	Text  string
	Plain bool // the text is prose
}

// heads are what the sections of a transcript are called here. A device speaks,
// in those of a device which keeps to the contract; anything may in others.
var heads = map[string]line{
	"connect":         {Side: "device", Head: "device connects"},
	"login":           {Side: "device", Head: "device logs in"},
	"client":          {Side: "device", Head: "device"},
	"drop":            {Side: "device", Head: "the connection is lost"},
	"device ends":     {Side: "device", Head: "the device's process ends"},
	"server":          {Side: "service", Head: "service"},
	"close":           {Side: "service", Head: "service closes"},
	"server stops":    {Side: "service", Head: "the service is stopped"},
	"server starts":   {Side: "service", Head: "the service is started"},
	"server fails":    {Side: "service", Head: "something inside the service breaks"},
	"server recovers": {Side: "service", Head: "it is whole again"},
	"business":        {Side: "business", Head: "business"},
	"answer":          {Side: "business", Head: "answer"},
	"after":           {Side: "time"},
	"note":            {Side: "note", Plain: true},
}

func show(t transcripts.Transcript) talk {
	shown := talk{Name: strings.TrimPrefix(t.Name, "device/"), ID: "talk-" + strings.ReplaceAll(t.Name, "/", "."), Prose: t.Prose}
	for _, s := range t.Steps {
		l := heads[s.Verb]
		switch words := strings.Join(s.Args, ", "); {
		case s.Verb == "after":
			l.Head = words + " later"
		case s.Number != 1 && words != "":
			l.Head += " (" + number(s.Number) + "): " + words
		case s.Number != 1:
			l.Head += " (" + number(s.Number) + ")"
		case words != "":
			l.Head += ": " + words
		}
		l.Text = strings.TrimSpace(s.Lines)
		shown.Lines = append(shown.Lines, l)
	}
	return shown
}

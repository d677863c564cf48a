package device

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/edgetether/tether/schema"
	"github.com/edgetether/tether/schema/transcripts"
)

// TestTranscripts replays every conversation of a device that keeps to the
// contract against the library, which has to say its part of it, word for word
// and to the millisecond. Who plays the server here knows nothing but the
// transcript.
func TestTranscripts(t *testing.T) {
	all, err := transcripts.All()
	if err != nil {
		t.Fatal(err)
	}
	played := 0
	for _, transcript := range all {
		if !transcript.OfDevice() {
			continue
		}
		played++
		t.Run(transcript.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if err := newStage(t).play(transcript.Steps); err != nil {
					t.Error(err)
				}
			})
		})
	}
	if played < 10 {
		t.Errorf("%d transcripts were played", played)
	}
}

// TestTranscriptsMustBeWhole: what the device says and the transcript does not
// is a failure, and so are the reverse, another time and another word.
func TestTranscriptsMustBeWhole(t *testing.T) {
	all, err := transcripts.All()
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string][]transcripts.Step{}
	for _, transcript := range all {
		byName[transcript.Name] = transcript.Steps
	}
	for _, c := range []struct {
		name  string
		spoil func([]transcripts.Step) []transcripts.Step
	}{
		{"cadence", func(s []transcripts.Step) []transcripts.Step { return s[:2] }},                        // the report is left out at the end
		{"cadence", func(s []transcripts.Step) []transcripts.Step { return without(s, "client", 1) }},      // and in the middle
		{"cadence", func(s []transcripts.Step) []transcripts.Step { return without(s, "after", 0) }},       // too early
		{"cadence", func(s []transcripts.Step) []transcripts.Step { return exchanged(s, "5s", "5001ms") }}, // too late
		{"cadence", func(s []transcripts.Step) []transcripts.Step { return exchanged(s, `"ping"`, `"pong"`) }},
		{"cadence", func(s []transcripts.Step) []transcripts.Step { return exchanged(s, "stopped", "bye") }},
		{"takeover", func(s []transcripts.Step) []transcripts.Step { return exchanged(s, "60s", "59s") }},
		{"takeover", func(s []transcripts.Step) []transcripts.Step { return exchanged(s, "60s", "61s") }},
		{"takeover", func(s []transcripts.Step) []transcripts.Step { return exchanged(s, "4409", "4408") }},
		{"deleted", func(s []transcripts.Step) []transcripts.Step { return exchanged(s, "4410", "1011") }},
		{"deleted", func(s []transcripts.Step) []transcripts.Step { return without(s, "device ends", 0) }},
		{"restart", func(s []transcripts.Step) []transcripts.Step {
			return exchanged(s, "restart_confirm", "restart_forget")
		}},
		{"orders", func(s []transcripts.Step) []transcripts.Step { return exchanged(s, "not in config", "unheard of") }},
		{"order-lost", func(s []transcripts.Step) []transcripts.Step { return exchanged(s, `"<order_1>"],`, "],") }},
	} {
		synctest.Test(t, func(t *testing.T) {
			if err := newStage(t).play(c.spoil(slices.Clone(byName["device/"+c.name]))); err == nil {
				t.Errorf("%s, spoilt, is taken for good", c.name)
			}
		})
	}
}

// without leaves the nth step of a kind out.
func without(steps []transcripts.Step, verb string, n int) []transcripts.Step {
	for i, s := range steps {
		if s.Verb != verb {
			continue
		}
		if n--; n < 0 {
			return slices.Delete(steps, i, i+1)
		}
	}
	return nil
}

// exchanged has another word in place of one.
func exchanged(steps []transcripts.Step, word, other string) []transcripts.Step {
	for i := range steps {
		s := &steps[i]
		s.Text = strings.ReplaceAll(s.Text, word, other)
		s.Args = slices.Clone(s.Args)
		for j := range s.Args {
			s.Args[j] = strings.ReplaceAll(s.Args[j], word, other)
		}
	}
	return steps
}

// TestMethodsAreTheDocument: the table has the methods of the OpenRPC document
// of the cloud, and no other.
func TestMethodsAreTheDocument(t *testing.T) {
	var document struct{ Methods []struct{ Name string } }
	must(t, json.Unmarshal(schema.OpenRPCCloud, &document))
	var want []string
	for _, m := range document.Methods {
		want = append(want, m.Name)
	}
	slices.Sort(want)
	if got := slices.Sorted(maps.Keys(methods)); !slices.Equal(got, want) {
		t.Errorf("the table has %v, the document %v", got, want)
	}
}

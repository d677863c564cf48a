package sim

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgetether/tether/northapi/client"
	"github.com/edgetether/tether/schema"
)

// groupAPI answers as the contract says of orders to groups: a job, whose counts
// are total and one for each state that its devices are in.
type groupAPI struct {
	answers []string // to group_order_query, one after the other; the last stays
	asked   []string
	given   any
}

func (a *groupAPI) Call(_ context.Context, method, service string, body, data any) error {
	a.asked = append(a.asked, method+" "+service)
	if service == "group_give_order" {
		a.given = body
		return json.Unmarshal([]byte(`{"job_id":"77"}`), data)
	}
	answer := a.answers[0]
	if len(a.answers) > 1 {
		a.answers = a.answers[1:]
	}
	if answer == "" {
		return errors.New("broken")
	}
	return json.Unmarshal([]byte(answer), data)
}

func (*groupAPI) DeviceImport(context.Context, io.Reader, client.ImportOptions, func(client.ImportLine) error) (client.ImportEnd, error) {
	return client.ImportEnd{}, nil
}

func (*groupAPI) Events(context.Context, client.EventQuery) iter.Seq2[schema.Event, error] {
	return func(yield func(schema.Event, error) bool) { yield(schema.Event{}, io.EOF) }
}

// giveGroup gives an order against answers, in a minute of virtual time.
func giveGroup(t *testing.T, a *groupAPI) (g *GroupOrder, err error) {
	synctest.Test(t, func(t *testing.T) {
		o, bad := Options{Devices: 1, API: a, MaxParallel: 5}.withDefaults()
		if bad != nil {
			t.Fatal(bad)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		g, err = newFleet(ctx, &o, nil).giveGroupOrder(ctx, "9")
	})
	return g, err
}

// TestGroupOrder: it is through when there are as many outcomes as devices.
func TestGroupOrder(t *testing.T) {
	a := &groupAPI{answers: []string{
		`{"state":"running","counts":{"total":10,"pending":7,"sent":2,"succeeded":1}}`, "",
		`{"state":"running","counts":{"total":10,"running":1,"succeeded":8,"failed":1}}`,
		`{"state":"done","counts":{"total":10,"succeeded":8,"failed":1,"skipped":1}}`,
	}}
	g, err := giveGroup(t, a)
	if err != nil || g.State != "done" || g.Counts["succeeded"] != 8 || g.Seconds != 0.6 || g.JobID != "77" {
		t.Errorf("%+v %v", g, err)
	}
	given := a.given.(map[string]any)
	if given["group_id"] != "9" || given["order"] != "sim" || given["max_parallel"] != 5 || len(a.asked) != 5 || a.asked[4] != "GET group_order_query/77" {
		t.Errorf("%v %v", given, a.asked)
	}
}

// TestGroupOrderUnended: what is not through at the end of the run is said so.
func TestGroupOrderUnended(t *testing.T) {
	for answer, want := range map[string]string{
		`{"state":"running","counts":{"total":10,"succeeded":9}}`: "not through at the end",
		`{"state":"running","counts":{}}`:                         "not through at the end",
		"":                                                        "broken",
	} {
		g, err := giveGroup(t, &groupAPI{answers: []string{answer}})
		if err == nil || !strings.Contains(err.Error(), want) || g.Seconds < 59 {
			t.Errorf("%s: %+v %v", answer, g, err)
		}
	}
}

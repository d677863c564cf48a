package northapi_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/edgetether/tether/northapi"
	"github.com/edgetether/tether/schema"
)

// groupOrder posts to a service of jobs, with an Idempotency-Key if there is one.
func (w *world) groupOrder(kind, service, key, body string) answer {
	w.t.Helper()
	r := w.request(kind, post, service, body)
	if key != "" {
		r.Header.Set("Idempotency-Key", key)
	}
	return w.send(r)
}

// TestGroupOrder_AsItIsGiven: what is left out has its default, and the
// sessions are told of the job.
func TestGroupOrder_AsItIsGiven(t *testing.T) {
	w := newWorld(t)
	j := into[schema.Job](t, w.groupOrder("operator", "group_give_order", "", `{"group_id":"101","order":"restart"}`).want(t, 202, ""))
	want := schema.Job{
		JobID: j.JobID, Target: schema.JobTarget{Kind: schema.TargetGroup, GroupID: ownGroup}, Order: "restart", IsInner: true, Params: schema.RawObject(`{}`),
		MaxParallel: schema.DefaultParallel, IfOffline: "fail", IfBusy: "fail", TTL: 3600, State: schema.JobRunning,
		Counts: schema.JobCounts{Total: 1, Pending: 1}, By: "key:operator", CreatedTime: present,
	}
	if fmt.Sprintf("%+v", j) != fmt.Sprintf("%+v", want) {
		t.Errorf("%+v\nwant %+v", j, want)
	}
	if fmt.Sprint(w.sessions.jobs) != "["+j.JobID+"]" {
		t.Errorf("told of %v", w.sessions.jobs)
	}
	j = into[schema.Job](t, w.groupOrder("operator", "group_give_order", "", `{"filter":{"model":"M","name":"press"},"order":"blink","params":{"n":3},
		"max_parallel":7,"max_failures":0,"if_offline":"queue","if_busy":"wait","ttl_s":9}`).want(t, 202, ""))
	if *j.Target.Filter != (schema.JobFilter{Model: "M", Name: "press"}) || j.MaxParallel != 7 || *j.MaxFailures != 0 || j.IfOffline != "queue" ||
		j.IfBusy != "wait" || j.TTL != 9 || string(j.Params) != `{"n":3}` || j.Counts.Total != 2 {
		t.Errorf("%+v", j)
	}
}

// TestGroupOrder_Bodies: exactly one target, and each limit from both sides.
func TestGroupOrder_Bodies(t *testing.T) {
	ids := func(n int) string { return `"device_ids":["` + strings.ReplaceAll(manyIDs(n), ",", `","`) + `"]` }
	for body, want := range map[string]string{
		`"group_id":"101","device_ids":["201"]`:       "400 device_ids",
		`"group_id":"101","filter":{"model":"M"}`:     "400 filter",
		`"device_ids":["201"],"filter":{"model":"M"}`: "400 device_ids",
		``:                                                       "400 group_id",
		`"device_ids":[]`:                                        "400 device_ids",
		`"device_ids":["201","201"]`:                             "400 device_ids[1]",
		`"device_ids":["201","999"]`:                             "404 device_ids[1]",
		ids(schema.MaxIdentifiers):                               "404 device_ids[0]",
		ids(schema.MaxIdentifiers + 1):                           "400 device_ids",
		`"filter":{}`:                                            "400 filter",
		`"filter":{"model":""}`:                                  "400 filter.model",
		`"filter":{"dev_state":"Online"}`:                        "400 filter.dev_state",
		`"filter":{"sn":"x"}`:                                    "400 filter.sn",
		`"filter":{"name":"nobody's"}`:                           "409 there is no device that the order would be for",
		`"group_id":"103"`:                                       "409 there is no device that the order would be for",
		`"group_id":"101","max_parallel":0`:                      "400 max_parallel",
		`"group_id":"101","max_parallel":1000`:                   "202",
		`"group_id":"101","max_parallel":1001`:                   "400 max_parallel",
		`"group_id":"101","max_failures":-1`:                     "400 max_failures",
		`"group_id":"101","max_failures":1000000`:                "202",
		`"group_id":"101","max_failures":1000001`:                "400 max_failures",
		`"group_id":"101","ttl_s":9`:                             "400 ttl_s",
		`"group_id":"101","if_busy":"queue"`:                     "400 if_busy",
		`"group_id":"101","wait_ms":0`:                           "400 wait_ms",
		`"device_ids":["202","201"],"group_id":null`:             "202",
		`"group_id":"101","max_failures":null,"filter":null`:     "202",
		`"group_id":"101","order":"restart"`:                     "400 order", // twice
		`"filter":{"dev_state":"offline","device_type":"drill"}`: "409 there is no device that the order would be for",
	} {
		a := newWorld(t).groupOrder("operator", "group_give_order", "", strings.TrimSuffix(`{"order":"blink","params":{},`+body, ",")+"}")
		at, _, _ := strings.Cut(a.Message, ":")
		if got := strings.TrimSpace(fmt.Sprint(a.status, " ", at)); got != want {
			t.Errorf("%.80s: %s, want %s", body, got, want)
		}
	}
}

// TestT25_GroupOrderKey: the same again is the same job, another body is
// refused, and a retry has a key as well.
func TestT25_GroupOrderKey(t *testing.T) {
	w := newWorld(t)
	const body = `{"filter":{"model":"M"},"order":"blink","params":{"a":1,"b":2}}`
	first := w.groupOrder("operator", "group_give_order", "k", body).want(t, 202, "")
	again := w.groupOrder("operator", "group_give_order", "k",
		`{"order":"blink","params":{"b":2,"a":1},"filter":{"model":"M"},"max_parallel":100,"if_busy":"fail"}`).want(t, 202, "")
	if again.body != first.body {
		t.Errorf("%s\nthen %s", first.body, again.body)
	}
	for _, other := range []string{
		`{"filter":{"name":"M"},"order":"blink","params":{"a":1,"b":2}}`,
		`{"filter":{"model":"M"},"order":"blink","params":{"a":1,"b":3}}`,
		`{"filter":{"model":"M"},"order":"blink","params":{"a":1,"b":2},"max_parallel":9}`,
		`{"filter":{"model":"M"},"order":"blink","params":{"a":1,"b":2},"max_failures":0}`,
		`{"group_id":"101","order":"blink","params":{"a":1,"b":2}}`,
		`{"device_ids":["201"],"order":"blink","params":{"a":1,"b":2}}`,
	} {
		w.groupOrder("operator", "group_give_order", "k", other).want(t, 409, "idempotency_conflict")
	}
	w.groupOrder("operator", "group_order_retry", "k", `{"job_id":"503"}`).want(t, 409, "idempotency_conflict")
	if other := w.groupOrder("admin", "group_give_order", "k", body).want(t, 202, ""); other.body == first.body {
		t.Error("another's key is the same job")
	}
	retry := w.groupOrder("operator", "group_order_retry", "r", `{"job_id":"503"}`).want(t, 202, "")
	if again := w.groupOrder("operator", "group_order_retry", "r", `{"job_id":"503"}`).want(t, 202, ""); again.body != retry.body {
		t.Errorf("%s\nthen %s", retry.body, again.body)
	}
	w.groupOrder("operator", "group_order_cancel", "k", `{"job_id":"501"}`).want(t, 400, "not_offered")
}

func TestGroupOrder_Query(t *testing.T) {
	w := newWorld(t)
	w.do("operator", post, "group_order_retry", `{"job_id":"501"}`).want(t, 409, "job_running")
	res := into[schema.JobResults](t, w.do("viewer", get, "group_order_query/503", "").want(t, 200, ""))
	if d := res.Items[0]; len(res.Items) != 1 || d.DeviceID != ownDevice || d.State != schema.DeviceRefused || *d.Reason != "device_offline" || d.Message != "the device is offline" {
		t.Errorf("%+v", res)
	}
	for query, want := range map[string]int{"result=refused": 1, "result=failed,refused": 1, "result=failed&result=refused": 1, "result=failed": 0} {
		res := into[schema.JobResults](t, w.do("viewer", get, "group_order_query/503?"+query, "").want(t, 200, ""))
		if len(res.Items) != want || res.Counts.Refused != 1 {
			t.Errorf("%s: %+v", query, res)
		}
	}
	for _, query := range []string{"result=", "result=lost", "result=failed,", "limit=0", "cursor=x", "state=failed"} {
		w.do("viewer", get, "group_order_query/503?"+query, "").want(t, 400, "invalid_member")
	}
	first := into[schema.List[schema.Job]](t, w.do("viewer", get, "group_order_query_all?limit=3", "").want(t, 200, ""))
	second := into[schema.List[schema.Job]](t, w.do("viewer", get, "group_order_query_all?cursor="+first.NextCursor, "").want(t, 200, ""))
	if len(first.Items) != 3 || len(second.Items) != 2 || first.Items[0].JobID != bothJob || second.NextCursor != "" {
		t.Errorf("%+v %+v", first, second)
	}
	a := w.do("operator", post, "group_order_cancel", `{"job_id":"503"}`).want(t, 409, "job_not_cancellable")
	if j := into[schema.Job](t, a); j.JobID != ownEnded || j.State != schema.JobDone {
		t.Errorf("%+v", j)
	}
	w.do("scoped operator", post, "group_order_cancel", `{"job_id":"505"}`).want(t, 403, "forbidden")
	j := into[schema.Job](t, w.do("operator", post, "group_order_cancel", `{"job_id":"505"}`).want(t, 200, ""))
	if j.State != schema.JobCancelled || *j.CancelledBy != "key:operator" || j.Counts.Cancelled != 2 || *j.EndedTime != present {
		t.Errorf("%+v", j)
	}
}

// TestGroupOrder_Draining: a server that stops makes no job.
func TestGroupOrder_Draining(t *testing.T) {
	w := newWorld(t, draining)
	w.do("operator", post, "group_give_order", `{"group_id":"101","order":"restart"}`).want(t, 503, "draining")
	w.do("operator", post, "group_order_retry", `{"job_id":"503"}`).want(t, 503, "draining")
	w.do("operator", post, "group_order_cancel", `{"job_id":"501"}`).want(t, 200, "")
}

func draining(c *northapi.Config) { c.Draining = func() bool { return true } }

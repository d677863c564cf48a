package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgetether/tether/device"
	"github.com/edgetether/tether/schema"
	"github.com/edgetether/tether/store"
)

func TestAge(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0": 0, "0d": 0, "1d": day, "90d": 90 * day, "100000d": maxDays * day, "12h": 12 * time.Hour, "1.5h": 90 * time.Minute,
	} {
		var a age
		if err := a.UnmarshalText([]byte(text)); err != nil || time.Duration(a) != want {
			t.Errorf("%s: %v, %v", text, time.Duration(a), err)
		}
	}
	for _, text := range []string{"", "-1d", "-1s", "100001d", "1.5d", "d", "30", "1w"} {
		if err := new(age).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%s is taken", text)
		}
	}
}

func FuzzAge(f *testing.F) {
	for _, text := range []string{"30d", "12h", "0", "-1d", "99999999999999999999d", "1e3d"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var a age
		if err := a.UnmarshalText([]byte(text)); err == nil && a < 0 {
			t.Errorf("%q is %v", text, time.Duration(a))
		}
	})
}

func TestServe_KeepOrdersLimit(t *testing.T) {
	for text, good := range map[string]bool{"0": true, "167h59m59s": false, "7d": true, "90d": true} {
		var flags cli
		if _, err := parse(&flags, []string{"serve", "--keep-orders", text}, nil, io.Discard); err != nil {
			t.Fatal(err)
		}
		if err := flags.Serve.check(); (err == nil) != good {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestRetention_KeptForEver: a kind that is kept for ever is not asked for.
func TestRetention_KeptForEver(t *testing.T) {
	for keep, want := range map[ages]string{
		{}:                            "history_of_deleted ",
		{events: 1, orders: 1}:        "events orders history_of_deleted ",
		{history: age(day), audit: 1}: "history audit history_of_deleted ",
		{events: 1, history: 1, orders: 1, audit: 1}: "events history orders audit history_of_deleted ",
	} {
		got := ""
		for _, k := range newRetention(keep, nil, slog.New(slog.DiscardHandler)).kinds {
			got += k.name + " "
		}
		if got != want {
			t.Errorf("%v: %s", keep, got)
		}
	}
}

// TestRetention_EachItsOwn: each kind's time is for its own records.
func TestRetention_EachItsOwn(t *testing.T) {
	st, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "tether.db"), store.Options{Migrate: true})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	const old = 1 // long ago
	_, err = st.AddDevices(t.Context(), []schema.NewDevice{{Device: schema.Device{DeviceID: "1", Name: "n", CreatedTime: old, UpdatedTime: old, Enabled: true}}}, "key:test")
	if err == nil {
		_, err = st.Claim(t.Context(), schema.Claim{DeviceID: "1", Epoch: 1, Node: 1, Version: 1, Now: old})
	}
	told := make(chan error, 1)
	if err == nil {
		st.BeginOrder(schema.Intent{Order: schema.Order{OrderID: "5", DeviceID: "1", Order: "x", CreatedTime: old}, Epoch: 1, Node: 1, Now: old},
			func(err error) { told <- err })
		err = <-told
	}
	if err == nil {
		st.EndOrder(schema.Outcome{OrderID: "5", DeviceID: "1", Epoch: 1, State: schema.OrderSucceeded, Now: old}, func(_ schema.Order, err error) { told <- err })
		err = <-told
	}
	if err != nil {
		t.Fatal(err)
	}
	for i := range int64(3) {
		st.Sample(schema.Sample{DeviceID: "1", Time: old + i})
	}
	for i := range 2 {
		st.Audit(schema.Audit{AuditID: fmt.Sprint(i), Time: old})
	}
	var log bytes.Buffer
	newRetention(ages{age(day), age(day), age(day), age(day)}, st, slog.New(slog.NewJSONHandler(&log, nil))).sweep(t.Context())
	var line map[string]any
	if err := json.Unmarshal(log.Bytes(), &line); err != nil {
		t.Fatal(err, &log)
	}
	if line["history"] != 3.0 || line["orders"] != 1.0 || line["audit"] != 2.0 || line["events"].(float64) < 4 {
		t.Errorf("removed %v", line)
	}
}

// TestRetention_LeavesTimeToOthers: between two batches there is a pause as
// long as the batch took, and a kind that fails leaves the others alone.
func TestRetention_LeavesTimeToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, told := time.Now(), ""
		batches := func(name string, took time.Duration, counts ...int64) func(context.Context, int64) (int64, error) {
			return func(_ context.Context, before int64) (int64, error) {
				told += fmt.Sprintf("%s at %v of %v; ", name, time.Since(began), began.Sub(time.UnixMilli(before)))
				time.Sleep(took)
				if len(counts) == 0 {
					return 0, errors.New("no more")
				}
				n := counts[0]
				counts = counts[1:]
				return n, nil
			}
		}
		var log bytes.Buffer
		r := retention{log: slog.New(slog.NewJSONHandler(&log, nil)), kinds: []aging{
			{"a", age(time.Hour), batches("a", time.Second, 500, 20, 0)},
			{"c", age(day), batches("c", 0, 7)},
		}}
		r.sweep(t.Context())
		if want := "a at 0s of 1h0m0s; a at 2s of 1h0m0s; a at 4s of 1h0m0s; c at 5s of 24h0m0s; c at 5.01s of 24h0m0s; "; told != want {
			t.Errorf("asked %s", told)
		}
		var lines []map[string]any
		for d := json.NewDecoder(&log); d.More(); {
			var line map[string]any
			if err := d.Decode(&line); err != nil {
				t.Fatal(err)
			}
			lines = append(lines, line)
		}
		if len(lines) != 2 || lines[0]["error"] != "no more" || lines[0]["kind"] != "c" ||
			lines[1]["a"] != 520.0 || lines[1]["c"] != 7.0 {
			t.Errorf("logged %v", lines)
		}
	})
}

// TestRetention_EndsWithItsContext, also between two batches, and sweeps at
// each interval until then.
func TestRetention_EndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		n := 0
		r := retention{log: slog.New(slog.DiscardHandler), kinds: []aging{{"a", 1, func(ctx context.Context, _ int64) (int64, error) {
			n++
			return int64(n % 2), ctx.Err()
		}}}}
		ended := make(chan struct{})
		go func() { r.run(ctx); close(ended) }()
		time.Sleep(sweepInterval + time.Minute)
		synctest.Wait()
		if n != 4 {
			t.Errorf("%d batches in two sweeps of two", n)
		}
		time.Sleep(sweepInterval - time.Minute) // the third sweep is between its batches
		synctest.Wait()
		stop()
		<-ended
		if n != 5 {
			t.Errorf("%d batches", n)
		}
	})
}

// TestRetention_WholeService: a device that reports for hours has an hour of
// history and of events left, numbered without gap, and the report tells.
func TestRetention_WholeService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log output
		w := newWorld(t, func(c *serviceConfig) {
			c.keep = ages{events: age(time.Hour), history: age(time.Hour), orders: age(schema.UnsettledWindow)}
			c.log = slog.New(slog.NewTextHandler(&log, nil))
		})
		id, password := w.addDevice("d")
		began := time.Now()
		w.run(device.Config{DeviceID: id, Password: password}, nil)
		time.Sleep(3*time.Hour + time.Minute)
		w.settle()
		oldest := began.Add(2 * time.Hour).Add(-time.Minute).UnixMilli()

		var points schema.List[schema.HistoryPoint]
		w.must("GET", "device_statusInfo_history/"+id+"?limit=1000", "", &points)
		if n := len(points.Items); n < 55 || n > 65 || points.Items[n-1].Time < oldest {
			t.Errorf("%d reports are left, the oldest of %v", n, time.UnixMilli(points.Items[n-1].Time))
		}
		var halves schema.List[schema.HistoryPoint]
		w.must("GET", "device_statusInfo_history/"+id+"?step=1800000", "", &halves)
		if n := len(halves.Items); n < 2 || n > 3 || *halves.Items[0].Report.Memory.Total <= 0 {
			t.Errorf("%d half hours: %+v", n, halves.Items)
		}
		var events schema.List[schema.Event]
		w.must("GET", "device_log_query/"+id+"?limit=1000", "", &events)
		for i, e := range events.Items {
			if e.Seq != events.Items[0].Seq-int64(i) || e.Time < oldest {
				t.Fatalf("event %d of %v after %d", e.Seq, time.UnixMilli(e.Time), events.Items[0].Seq)
			}
		}
		if events.Items[len(events.Items)-1].Seq < 100 || !log.has("old records were removed") || !log.has("history=60") {
			t.Errorf("the oldest event is %d; logged %s", events.Items[len(events.Items)-1].Seq, &log)
		}
	})
}

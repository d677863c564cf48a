package store

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgetether/tether/schema"
)

// TestPick: of more than one batch, who waits goes first, behind what was said
// of the same device before; everything else keeps its place.
func TestPick(t *testing.T) {
	line := func(device int) *op { return &op{log: fmt.Sprint(device), join: func(*run, *result) {}} }
	change := func(device int) *op { return &op{touches: []string{fmt.Sprint(device)}, join: func(*run, *result) {}} }
	waits := func(o *op) *op { o.done = func(error) {}; return o }
	lone := func() *op { return waits(&op{apply: func(*tx) error { return nil }}) }
	waiting := func(o *op) bool { return o.done != nil }
	var all []*op
	for i := range 3 * maxBatch {
		all = append(all, line(i))
	}
	for i := range maxBatch / 4 {
		all = append(all, waits(change(2*maxBatch+i)), line(2*maxBatch+i))
	}

	batch, rest := pick(all)
	equal(t, "batch", len(batch), maxBatch)
	if slices.ContainsFunc(rest, waiting) {
		t.Error("somebody is left waiting")
	}
	inOrder(t, all, batch, rest)

	all[100] = lone()
	batch, rest = pick(all)
	if slices.ContainsFunc(rest, waiting) {
		t.Error("somebody is left waiting for a change by itself")
	}
	inOrder(t, all, batch, rest)

	batch, rest = pick(all[:maxBatch])
	equal(t, "one batch", len(batch), maxBatch)
	equal(t, "rest of it", len(rest), 0)

	for i := range all { // one device's alone
		all[i] = line(1)
	}
	all[len(all)-1] = waits(change(1))
	batch, rest = pick(all)
	equal(t, "batch of one device", len(batch), maxBatch)
	inOrder(t, all, batch, rest)

	for i := range all { // more wait than there is room for
		if all[i] = waits(change(i)); i < maxBatch {
			all[i] = line(i)
		}
	}
	batch, rest = pick(all)
	equal(t, "batch of those who wait", len(batch), maxBatch)
	if batch[0] != all[0] || slices.IndexFunc(batch, waiting) != maxAside {
		t.Error("what waits longest has no part of it")
	}
	inOrder(t, all, batch, rest)

	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 0))
		for i := range all {
			switch o := change(r.IntN(2000)); r.IntN(20) {
			case 0:
				all[i] = lone()
			case 1, 2, 3:
				all[i] = waits(o)
			case 4, 5:
				all[i] = o
			default:
				all[i] = line(r.IntN(2000))
			}
		}
		ops := all[r.IntN(len(all)):]
		for len(ops) > 0 {
			batch, rest = pick(ops)
			if len(batch) > maxBatch || len(batch) < min(maxBatch, len(ops)) {
				t.Fatalf("seed %d: a batch of %d of %d", seed, len(batch), len(ops))
			}
			inOrder(t, ops, batch, rest)
			ops = rest
		}
	}
}

// inOrder looks for what has overtaken that it must not.
func inOrder(t *testing.T, all, batch, rest []*op) {
	t.Helper()
	place := map[*op]int{}
	for i, o := range all {
		place[o] = i
	}
	equal(t, "in all", len(batch)+len(rest), len(all))
	for _, ops := range [][]*op{batch, rest} {
		if !slices.IsSortedFunc(ops, func(a, b *op) int { return place[a] - place[b] }) {
			t.Error("the order was changed")
		}
	}
	left := map[string]int{} // the first op that was left of each device
	change := len(all)       // and of any
	for _, o := range slices.Backward(rest) {
		for _, id := range append(slices.Clone(o.touches), o.log) {
			left[id] = place[o]
		}
		if o.log == "" {
			change = place[o]
		}
	}
	for _, o := range batch {
		for _, id := range o.touches {
			if at, ok := left[id]; ok && at < place[o] {
				t.Fatalf("a change of device %s has overtaken another", id)
			}
		}
		if at, ok := left[o.log]; o.log != "" && ok && at < place[o] {
			t.Fatalf("a line of device %s has overtaken another", o.log)
		}
		if o.join == nil && change < place[o] {
			t.Fatal("a change that may touch anything has overtaken another")
		}
		if rest := slices.IndexFunc(rest, func(r *op) bool { return r.join == nil && place[r] < place[o] }); rest >= 0 && o.log == "" {
			t.Fatal("a change has overtaken one that may touch anything")
		}
	}
}

// losses tells of a log where events were lost, and how many: "12 lost, 3 …".
func losses(events []schema.Event) string {
	text, n := "", 0
	for _, e := range events {
		if n++; e.Kind == schema.EventLost {
			text += fmt.Sprintf("%d %s ", n-1, e.Detail)
			n = 0
		}
	}
	return text + fmt.Sprint(n)
}

// TestF28_LossInItsPlace: a loss is told after what was kept before it and before
// what was kept after it, in batches that are no larger for it.
func TestF28_LossInItsPlace(t *testing.T) {
	path := flakyPath(t)
	synctest.Test(t, func(t *testing.T) {
		const kept, devices = 2*maxBatch + 10, maxBatch + 10
		largest := 0
		s, f := openFlaky(t, path, Options{MaxPending: kept, OnCommit: func(n int, _ time.Duration, _ error) { largest = max(largest, n) }})
		defer func() { must(t, s.Close()) }()
		fail(&f.begin, errDown)
		wantKind(t, s.AddDevice(t.Context(), device("9"), "", ""), schema.StoreUnavailable, "")
		for n := range kept + 7 {
			s.Record(note("1", n))
		}
		for n := range devices {
			s.Record(note(fmt.Sprint("d", n), n))
		}
		s.Presence(schema.Presence{DeviceID: "2", Epoch: 1, State: schema.Offline})
		time.Sleep(time.Minute)
		synctest.Wait()
		equal(t, "waiting", s.Stats().Waiting, kept+1+devices+1)
		f.begin.Store(nil)
		for s.Stats().Kept >= kept { // until the first batch is taken
			time.Sleep(time.Millisecond)
		}
		s.Record(note("1", kept+7))
		equal(t, "log", losses(log(t, s, "1")), fmt.Sprint(kept, ` {"count":7} 1`))
		equal(t, "log of another", losses(log(t, s, fmt.Sprint("d", devices-1))), `0 {"count":1} 0`)
		equal(t, "largest batch", largest, maxBatch)
	})
}

// However often a try fails, what is lost meanwhile waits as one.
func TestF28_LossesDoNotPileUp(t *testing.T) {
	path := flakyPath(t)
	synctest.Test(t, func(t *testing.T) {
		s, f := openFlaky(t, path, Options{MaxPending: 2})
		defer func() { must(t, s.Close()) }()
		fail(&f.begin, errDown)
		wantKind(t, s.AddDevice(t.Context(), device("9"), "", ""), schema.StoreUnavailable, "")
		for n := range 100 {
			s.Record(note("1", n))
			audited(s, "key:x", "x", int64(n))
			time.Sleep(retryDelay)
			synctest.Wait()
		}
		equal(t, "waiting", s.Stats().Waiting, 4)
		f.begin.Store(nil)
		time.Sleep(2 * retryDelay)
		equal(t, "log", losses(log(t, s, "1")), `1 {"count":99} 0`)
	})
}

// TestHold_OnePerDevice: of presences that come back from a failed commit, one is
// left, whether they were in one batch, or said meanwhile: the one that was said
// last, unless that is void. Losses are added up.
func TestHold_OnePerDevice(t *testing.T) {
	word := func(epoch int64, state schema.DevState) schema.Presence {
		return schema.Presence{DeviceID: "1", Epoch: epoch, State: state}
	}
	for _, c := range []struct{ first, second, want schema.Presence }{
		{word(1, schema.Unknown), word(1, schema.Online), word(1, schema.Online)},
		{word(1, schema.Online), word(1, schema.Offline), word(1, schema.Offline)},
		{word(1, schema.Offline), word(1, schema.Online), word(1, schema.Offline)},
		{word(1, schema.Offline), word(2, schema.Unknown), word(2, schema.Unknown)},
		{word(2, schema.Unknown), word(1, schema.Offline), word(2, schema.Unknown)},
	} {
		for name, hold := range map[string]func(w *writer, a, b []*op){
			"one batch":         func(w *writer, a, b []*op) { w.hold(append(a, b...), errDown) },
			"one after another": func(w *writer, a, b []*op) { w.hold(a, errDown); w.hold(b, errDown) },
			"said meanwhile": func(w *writer, a, b []*op) {
				w.queue, w.presence["1"], w.lost["1"] = b, b[0], b[1]
				w.hold(a, errDown)
			},
		} {
			w := &writer{presence: map[string]*op{}, lost: map[string]*op{}, log: func(string, error) {}, limit: -1, wake: make(chan struct{}, 1)}
			said := func(p schema.Presence, at int64) []*op {
				w.present(p)
				w.keep(&op{}, "1", at)
				return w.take()
			}
			hold(w, said(c.first, start), said(c.second, start+1))
			left := append(w.again, w.queue...)
			equal(t, name+": left", len(left), 2)
			equal(t, fmt.Sprintf("%s: %v, %v", name, c.first, c.second), left[0].presence.Presence, c.want)
			var told result
			left[1].join(new(run), &told)
			equal(t, name+": lost", fmt.Sprint(string(told.events[0].Detail), told.events[0].Time-start), `{"count":2}1`)
		}
	}
}

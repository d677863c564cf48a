package store

import "github.com/edgetether/tether/schema"

// result is what one change of a batch leaves: its refusal, if it has one, and
// its events. Each change has its own, so that the log tells of changes in the
// order in which they were submitted, whatever order they were carried out in.
type result struct {
	refused error
	events  []schema.Event
}

// answer takes a refusal as the change's answer. Any other error it returns: it ends the batch.
func (r *result) answer(err error) error {
	if faultOf(err) == refusal {
		r.refused = err
		return nil
	}
	return err
}

// run is a piece of a batch whose changes have no device and no order in
// common. None sees what another does, and so those of one kind are carried out
// by one statement, as if each were by itself.
type run struct {
	alone     *lonely // or else
	claims    []claiming
	intents   []intent
	outcomes  []outcome
	presences []presence
	told      [][]any // of a device and a version
	samples   []sample

	usedKeys, usedSessions [][]any // of an identifier and a time
	audits                 [][]any
}

// lonely is a change that is carried out by itself.
type lonely struct {
	*result
	apply func(*tx) error
}

// runs cuts a batch into runs. A change joins the first run after those of all
// earlier changes that touch what it touches: an order's intent, its outcome
// and the device's next intent come into three runs, and as many devices as
// there are may share them. One that is carried out by itself comes after
// everything before it, and before everything after it.
func runs(batch []*op) ([]*run, []result) {
	var all []*run
	results, room := make([]result, len(batch)), make([]schema.Event, len(batch))
	first := 0               // the run that a change may join at the earliest
	free := map[string]int{} // the same for changes that touch a device or order
	for i, o := range batch {
		results[i].events = room[i : i : i+1] // most leave one
		if o.join == nil {
			all = append(all, &run{alone: &lonely{&results[i], o.apply}})
			first = len(all)
			continue
		}
		n := first
		for _, id := range o.touches {
			n = max(n, free[id])
		}
		for _, id := range o.touches {
			free[id] = n + 1
		}
		if n == len(all) {
			all = append(all, new(run))
		}
		o.join(all[n], &results[i])
	}
	return all, results
}

// apply carries out a batch. Refusals are answers; any other error ends it.
func (t *tx) apply(batch []*op) ([]result, error) {
	all, results := runs(batch)
	for _, r := range all {
		if err := t.carryOut(r); err != nil {
			return nil, err
		}
	}
	n := 0
	for i := range results {
		n += len(results[i].events)
	}
	t.events = make([]schema.Event, 0, n)
	for i := range results {
		t.events = append(t.events, results[i].events...)
	}
	return results, nil
}

// carryOut applies the changes of a run, kind by kind.
func (t *tx) carryOut(r *run) error {
	if r.alone != nil {
		t.result = r.alone.result
		return r.alone.answer(r.alone.apply(t))
	}
	if err := t.claim(r.claims); err != nil {
		return err
	}
	if err := t.beginOrders(r.intents); err != nil {
		return err
	}
	if err := t.endOrders(r.outcomes); err != nil {
		return err
	}
	if err := t.setPresences(r.presences); err != nil {
		return err
	}
	if err := t.setTold(r.told); err != nil {
		return err
	}
	if err := t.keepSamples(r.samples); err != nil {
		return err
	}
	if err := t.setUsed(r.usedKeys, r.usedSessions); err != nil {
		return err
	}
	return t.keepAudits(r.audits)
}

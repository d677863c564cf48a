package store

import (
	"slices"
	"time"

	"github.com/edgetether/tether/schema"
)

// op is one change on its way to the database. It is a few functions and not a
// type for each kind: the kinds are the lists of a run (runs.go). One of apply
// and join is set, and may be called again, if a batch is repeated.
type op struct {
	apply   func(*tx) error     // carries out a rare change by itself
	join    func(*run, *result) // adds a frequent one to those of its kind
	touches []string            // ids of devices and orders: joined changes that share one keep their order
	log     string              // the device whose log gets a line of it, if that is all that it touches
	done    func(error)         // nil: nobody waits, and the op is kept over an outage
	counts  bool                // against Options.MaxPending

	// presence is set for a session's word on its device: while it waits, it is
	// replaced by what the session says next.
	presence *word
	// loss is set for the word on what was dropped: while it waits, it counts on.
	loss *loss
	// unheard makes what has to follow if o took effect though its commit was in
	// doubt, and who waited was told that it had failed.
	unheard func() *op
}

// word is a session's on its device.
type word struct {
	schema.Presence
	number int64 // in the order in which they were said
}

// loss counts what an outage made us drop of a log.
type loss struct {
	count  int64
	tell   func(count int64) *op // tells of them in the name of the last
	number int64                 // in the order in which they began
}

// auditLog is op.log of a loss of the audit log.
const auditLog = "audit"

// tell answers who waits for o.
func (o *op) tell(err error) {
	if o.done != nil {
		o.done(err)
	}
}

// waiting is 1 if somebody waits for o.
func (o *op) waiting() int {
	if o.done != nil {
		return 1
	}
	return 0
}

// submit queues o. It never blocks, and never calls o.done itself: its caller
// may hold what done needs.
func (w *writer) submit(o *op) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.enqueue(o)
}

// enqueue is submit under the lock.
func (w *writer) enqueue(o *op) {
	switch {
	case !w.closed:
		w.queue = append(w.queue, o)
		w.waiters += o.waiting()
		w.signal()
	case o.done != nil:
		go o.done(errClosed) // the writer has gone; this ends by itself
	}
}

// keep queues a change that nobody waits for, unless too many wait already:
// then it is counted as lost for device, at time now.
func (w *writer) keep(o *op, device string, now int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	o.log = device
	if w.counted >= w.limit {
		w.dropped++
		w.lose(device, func(count int64) *op { return lostEvents(device, count, now) })
		return
	}
	w.keepCounted(o)
}

// keepAudit is keep for a line of the audit log.
func (w *writer) keepAudit(a schema.Audit) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.counted >= w.limit {
		w.lose(auditLog, func(count int64) *op { return lostAudit(a, count) })
		return
	}
	w.keepCounted(auditOp(a))
}

// lose is under the lock. The first that is dropped of a log has the loss told
// in its place; while that waits, it is told of those that follow as well.
func (w *writer) lose(log string, tell func(count int64) *op) {
	o := w.lost[log]
	if o == nil {
		l := &loss{number: w.nextNumber()}
		o = &op{loss: l, log: log, join: func(r *run, at *result) { l.tell(l.count).join(r, at) }}
		w.lost[log] = o
		w.enqueue(o)
	}
	o.loss.count, o.loss.tell = o.loss.count+1, tell
}

// keepCounted is under the lock.
func (w *writer) keepCounted(o *op) {
	w.counted++
	o.counts = true
	w.enqueue(o)
}

// present queues p, or puts it in place of what the same session said before.
// A session that went offline has said its last word, and a newer epoch's word
// is not replaced by an older one's.
func (w *writer) present(p schema.Presence) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if o := w.presence[p.DeviceID]; o != nil {
		o.presence.Presence = lastWord(o.presence.Presence, p)
		return
	}
	said := &word{p, w.nextNumber()}
	o := presenceOp(&said.Presence)
	o.presence = said
	w.presence[p.DeviceID] = o
	w.enqueue(o)
}

// nextNumber is under the lock.
func (w *writer) nextNumber() int64 {
	w.numbers++
	return w.numbers
}

// lastWord is what holds of two words on a device, the second of which was said later.
func lastWord(a, b schema.Presence) schema.Presence {
	if b.Epoch > a.Epoch || b.Epoch == a.Epoch && a.State != schema.Offline {
		return b
	}
	return a
}

// next waits for work and takes it. In an outage, and soon after a commit, a
// pause passes first, unless somebody waits for an answer; in an outage the batch
// may then be empty, a mere probe.
func (w *writer) next() (batch []*op, ok bool) {
	var pause <-chan time.Time
	paused := false
	for {
		w.mu.Lock()
		work := len(w.again) + len(w.queue)
		early := w.linger - time.Since(w.written)
		if w.closed || paused || w.waiters > 0 || w.down == nil && work > 0 && early <= 0 {
			batch, ok = w.take(), !w.closed || work > 0
			w.closing = w.closed
			w.mu.Unlock()
			return batch, ok
		}
		switch {
		case pause != nil:
		case w.down != nil:
			pause = time.After(retryDelay)
		case work > 0:
			pause = time.After(early)
		}
		w.mu.Unlock()
		select {
		case <-w.wake:
		case <-pause:
			paused = true
		}
	}
}

// take is under the lock. It takes what failed before, then the queue, up to
// maxBatch: the rest has its turn with the next commit.
func (w *writer) take() []*op {
	choose := pick
	if w.down != nil { // a try is as good as another
		choose = oldest
	}
	all := w.queue
	if len(w.again) > 0 {
		all = append(w.again, w.queue...)
	}
	batch, rest := choose(all)
	w.again, w.queue = nil, rest
	for _, o := range batch {
		w.waiters -= o.waiting()
		if o.counts {
			w.counted--
		}
		if o.presence != nil {
			delete(w.presence, o.presence.DeviceID)
		}
		if o.loss != nil {
			delete(w.lost, o.log)
		}
	}
	return batch
}

// maxAside is how much of a full batch is what waits longest, whoever waits for it.
const maxAside = maxBatch / 8

// pick cuts a batch off. If there is more than one, it is for those whom somebody
// waits for: the logins of a fleet that returns, say, and not what it reports
// meanwhile. What is said of one device, or of one order, stays in order. A change
// that is carried out by itself may touch anything: it overtakes nothing but lines
// of logs.
func pick(all []*op) (batch, rest []*op) {
	if len(all) <= maxBatch {
		return all, nil
	}
	urgent, n := urgentOf(all)
	if n > maxBatch {
		return oldest(all)
	}
	batch, rest = make([]*op, 0, maxBatch), make([]*op, 0, len(all)-maxBatch)
	for i, o := range all {
		if i < len(urgent) && urgent[i] {
			batch = append(batch, o)
		} else if n < maxBatch {
			batch = append(batch, o)
			n++
		} else {
			rest = append(rest, o)
		}
	}
	return batch, rest
}

// oldest cuts a batch off as it comes.
func oldest(all []*op) (batch, rest []*op) {
	n := min(len(all), maxBatch)
	return all[:n:n], all[n:]
}

// urgentOf says which those are that somebody waits for, as many as one batch has
// room for, with what has to be done before them. n is their number.
func urgentOf(all []*op) (urgent []bool, n int) {
	touched, lone := map[string]bool{}, 0
	for i, o := range all {
		if o.done == nil || n == maxBatch-maxAside {
			continue
		}
		n++
		urgent = append(urgent, make([]bool, i+1-len(urgent))...)
		urgent[i] = true
		if o.join == nil {
			lone = i
		}
		touch(touched, o)
	}
	for _, o := range all[:lone] {
		touch(touched, o)
	}
	for i := range urgent {
		if !urgent[i] && (touched[all[i].log] || slices.ContainsFunc(all[i].touches, func(id string) bool { return touched[id] })) {
			urgent[i] = true
			n++
		}
	}
	return urgent, n
}

func touch(touched map[string]bool, o *op) {
	for _, id := range o.touches {
		touched[id] = true
	}
}

// lostEvents is the op that tells of events of a device that were lost, the last
// of them at time last.
func lostEvents(device string, count, last int64) *op {
	e := schema.Event{
		DeviceID: device, Time: last, Kind: schema.EventLost,
		Outcome: "lost", By: byServer, Detail: schema.Detail("count", count),
	}
	return &op{join: func(_ *run, at *result) { at.event(e) }}
}

// holdOne is under the lock. A presence and a loss become one with those that wait already.
func (w *writer) holdOne(o *op) {
	if o.presence != nil && !w.holdPresence(o) || o.loss != nil && !w.holdLoss(o) {
		return
	}
	if o.counts {
		w.counted++
	}
	w.again = append(w.again, o)
}

// holdPresence says whether o is the one that waits.
func (w *writer) holdPresence(o *op) bool {
	p := o.presence
	other := w.presence[p.DeviceID]
	if other == nil {
		w.presence[p.DeviceID] = o
		return true
	}
	first, last := p, other.presence
	if last.number < first.number {
		first, last = last, first
	}
	other.presence.Presence = lastWord(first.Presence, last.Presence)
	return false
}

// holdLoss is the same of a loss.
func (w *writer) holdLoss(o *op) bool {
	other := w.lost[o.log]
	if other == nil {
		w.lost[o.log] = o
		return true
	}
	other.loss.count += o.loss.count
	if other.loss.number < o.loss.number {
		other.loss.tell = o.loss.tell
	}
	return false
}

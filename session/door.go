package session

import "sync"

// maxClaims is how many logins may wait for the store before no further connection
// is taken: two of its batches. That keeps it busy, and more would but take the
// processor from it: what has to be done for a fleet that returns is done in the
// order in which it ends (reliability F19, F20).
const maxClaims = 2048

// door is where connections come in: as many at a time as there are processors,
// so that what can run stays short, and whoever is inside is not kept waiting.
type door struct {
	turns chan struct{} // a token for each connection that is being taken

	mu     sync.Mutex
	fewer  sync.Cond // claims are, or the door is open to all
	claims int
	closed bool // nobody is kept any more
}

func newDoor(turns int) *door {
	d := &door{turns: make(chan struct{}, turns)}
	d.fewer.L = &d.mu
	return d
}

// enter waits for a turn, which leave ends.
func (d *door) enter() {
	d.turns <- struct{}{}
	d.mu.Lock()
	defer d.mu.Unlock()
	for d.claims >= maxClaims && !d.closed {
		d.fewer.Wait()
	}
}

func (d *door) leave() { <-d.turns }

// beginClaim and endClaim count those that wait for the store.
func (d *door) beginClaim() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.claims++
}

func (d *door) endClaim() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.claims--; d.claims == maxClaims-1 {
		d.fewer.Broadcast()
	}
}

// close lets all in that wait: the hub sends them away.
func (d *door) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	d.fewer.Broadcast()
}

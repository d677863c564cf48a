package store

import (
	"context"
	"sync"

	"github.com/edgetether/tether/schema"
)

// lookups gathers the logins whose devices are looked up. Those who come while
// a statement is under way share the next one: a fleet that returns asks for
// thousands of records at once. The zero value is ready.
type lookups struct {
	mu      sync.Mutex
	waiting []*lookup
	running bool // a goroutine sees to them
	closed  bool // nobody is answered any more
	wg      sync.WaitGroup
}

// lookup is one login's, and what is found; found and err are set when done is closed.
type lookup struct {
	params schema.LoginParams
	found  *loginRecord
	err    error
	done   chan struct{}
}

// loginRecord is a device's row as a login is checked against it.
type loginRecord struct {
	cred    schema.Credential
	tokens  [2]string
	expires [2]int64
}

const recordColumns = `d.device_id, d.enabled, d.credential_version, d.password, d.token, d.token_expires, d.old_token, d.old_token_expires`

// Credential finds the device that p names, by device_id or by the pair of SN
// and model, and what its login is checked against. An unknown device is
// schema.ErrDeviceNotFound.
func (s *Store) Credential(ctx context.Context, p schema.LoginParams, now int64) (schema.Credential, error) {
	l := &lookup{params: p, done: make(chan struct{})}
	s.lookups.add(l, s.lookUp)
	select {
	case <-l.done:
	case <-ctx.Done():
		return schema.Credential{}, unavailable(ctx.Err())
	}
	switch {
	case l.err != nil:
		return schema.Credential{}, l.err
	case l.found == nil:
		return schema.Credential{}, schema.ErrDeviceNotFound
	}
	return l.found.at(now), nil
}

// at leaves out the tokens that have expired.
func (r *loginRecord) at(now int64) schema.Credential {
	c := r.cred
	for i, hash := range r.tokens {
		if hash != "" && r.expires[i] > now {
			c.Tokens = append(c.Tokens, hash)
		}
	}
	return c
}

// add has l answered by look, beside others.
func (ls *lookups) add(l *lookup, look func([]*lookup)) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.closed {
		l.err = errClosed
		close(l.done)
		return
	}
	ls.waiting = append(ls.waiting, l)
	if !ls.running {
		ls.running = true
		ls.wg.Go(func() { ls.run(look) })
	}
}

// close waits for who is being answered; a read has its time (readTimeout).
func (ls *lookups) close() {
	ls.mu.Lock()
	ls.closed = true
	ls.mu.Unlock()
	ls.wg.Wait()
}

// run answers until nobody waits, and ends.
func (ls *lookups) run(look func([]*lookup)) {
	for some := ls.take(); some != nil; some = ls.take() {
		look(some)
		for _, l := range some {
			close(l.done)
		}
	}
}

func (ls *lookups) take() (some []*lookup) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	n := min(len(ls.waiting), maxRows)
	ls.running = n > 0
	if n == 0 {
		ls.waiting = nil
		return nil
	}
	some, ls.waiting = ls.waiting[:n:n], ls.waiting[n:]
	return some
}

// lookUp finds the records of some, of either form.
func (s *Store) lookUp(some []*lookup) {
	var byID, byName [][]any
	for i, l := range some {
		if p := l.params; p.DeviceID != "" {
			byID = append(byID, []any{i, p.DeviceID})
		} else {
			byName = append(byName, []any{i, p.SN, p.Model})
		}
	}
	s.find(some, "i BIGINT, id TEXT", byID, "d.device_id = given.id")
	s.find(some, "i BIGINT, sn TEXT, model TEXT", byName, "d.sn = given.sn AND d.model = given.model")
}

// find looks up those of some that rows are of, each of which begins with its place.
func (s *Store) find(some []*lookup, columns string, rows [][]any, match string) {
	if len(rows) == 0 {
		return
	}
	text, args := given(columns, padded(rows), "SELECT given.i, "+recordColumns+" FROM given CROSS JOIN devices d WHERE "+match)
	_, err := read(context.Background(), s, func(q querier) (struct{}, error) {
		found, err := q.often(text, args...)
		_, err = collect(found, err, func(r scanner) (struct{}, error) {
			var i int
			f := new(loginRecord)
			err := r.Scan(&i, &f.cred.DeviceID, &f.cred.Enabled, &f.cred.Version, &f.cred.Password,
				&f.tokens[0], &f.expires[0], &f.tokens[1], &f.expires[1])
			if err == nil {
				some[i].found = f
			}
			return struct{}{}, err
		})
		return struct{}{}, err
	})
	for _, row := range rows {
		some[row[0].(int)].err = err
	}
}

package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/edgetether/tether/schema"
)

// Times of a hold.
const (
	// holdLook is how often a hold looks if it still has its lock.
	holdLook = time.Second
	// holdAnswer is how long the server may take for that; without an answer
	// the lock is taken for lost, which is not yet the end (see look).
	holdAnswer = 5 * time.Second
	// holdPatience is how long a new process waits for a lock that is taken: a
	// server that was killed has it for as long as PostgreSQL takes to notice.
	holdPatience = 2 * time.Second
)

// A hold keeps a node's name for one process. It is a lock of a session of
// PostgreSQL, on a connection that serves nothing else, and PostgreSQL is the one
// judge of who lives: no clock is compared. The lock of a process that is killed
// is free at once, and that of a machine that vanishes after a dozen seconds
// (lively). A lease of a time instead would keep a killed server from coming
// back until it has run out.
//
// A lost connection, such as that of a PostgreSQL that restarts, is not the loss of the
// name: the lock is taken again as soon as that can be. The incarnation in the
// node's row tells if another process had the name meanwhile: then it has claimed
// the devices too, and this one must stop.
type hold struct {
	db    *sql.DB
	taken func(error) // told once, by the goroutine
	log   func(string, error)

	mu    sync.Mutex // of claim and release
	conn  *sql.Conn  // that has the lock; nil: it was lost
	node  schema.Node
	close func() // ends the goroutine, and waits for it
}

// lively begins the session of a hold: the server finds out within a dozen
// seconds that a machine is gone which did not say so.
const lively = `SELECT set_config('tcp_keepalives_idle', '5', FALSE), set_config('tcp_keepalives_interval', '2', FALSE),
	set_config('tcp_keepalives_count', '3', FALSE)`

// The key of a lock is made of a node's name and of the table of nodes: a server
// may hold many databases of ours, each in a schema of its own. A standby has locks
// too, but they keep nobody away.
const (
	holdKey    = "hashtextextended($1, 'nodes'::regclass::oid::bigint)"
	holdLock   = "SELECT pg_try_advisory_lock(" + holdKey + ") WHERE NOT pg_is_in_recovery()"
	holdHolder = `SELECT COALESCE(host(a.client_addr), 'the machine of the database'), a.backend_start::timestamptz(0)::text
		FROM ` + holdLocks + ` JOIN pg_stat_activity a ON a.pid = held.pid WHERE held.key = ` + holdKey
	holdNames = `SELECT name FROM nodes JOIN ` + holdLocks + ` ON held.key = hashtextextended(name, 'nodes'::regclass::oid::bigint)
		ORDER BY name LIMIT 1`
	// holdLocks are the locks of this form that sessions of this database have.
	holdLocks = `(SELECT l.pid, l.classid::bigint << 32 | l.objid::bigint AS key FROM pg_locks l JOIN pg_database d ON d.oid = l.database
		WHERE d.datname = current_database() AND l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted) AS held`
)

// postgresIdle refuses a database on which a server is at work.
func postgresIdle(ctx context.Context, t *sql.Tx) error {
	var name string
	err := t.QueryRowContext(ctx, holdNames).Scan(&name)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err == nil {
		err = fmt.Errorf("in use by the server %q: stop that one first", name)
	}
	return err
}

// inform says who is told of what happens to the lock.
func (h *hold) inform(o Options) {
	h.taken, h.log = o.OnTaken, o.Log
	if h.taken == nil {
		h.taken = func(error) {}
	}
	if h.log == nil {
		h.log = func(string, error) {}
	}
}

// claim takes the lock of a name, then its row, which claimRow does.
func (h *hold) claim(ctx context.Context, name string, claimRow func() (schema.Node, error)) (schema.Node, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.end()
	if err := h.take(ctx, name); err != nil {
		return schema.Node{}, err
	}
	n, err := claimRow()
	if err != nil {
		h.drop()
		return n, err
	}
	h.keep(n)
	return n, nil
}

// take takes the lock, and waits a little for one that is taken.
func (h *hold) take(ctx context.Context, name string) error {
	h.node = schema.Node{Name: name}
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for until := time.Now().Add(holdPatience); ; {
		has, err := h.lock(ctx)
		if has || err != nil {
			return outward(err)
		}
		if time.Now().After(until) {
			return h.refusal(ctx)
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return unavailable(context.Cause(ctx))
		}
	}
}

// lock tries to take the lock, on a new connection if there is none.
func (h *hold) lock(ctx context.Context) (has bool, err error) {
	if h.conn == nil {
		if h.conn, err = h.db.Conn(ctx); err != nil {
			h.conn = nil
			return false, err
		}
	}
	err = h.conn.QueryRowContext(ctx, holdLock, h.node.Name).Scan(&has)
	if errors.Is(err, sql.ErrNoRows) {
		err = unavailable(errors.New("the server is a standby"))
	}
	if err != nil {
		h.drop()
	}
	return has, err
}

// refusal tells who has the name.
func (h *hold) refusal(ctx context.Context) error {
	from, since := "an unknown address", "an unknown time"
	_ = h.conn.QueryRowContext(ctx, holdHolder, h.node.Name).Scan(&from, &since) // it may have ended meanwhile
	h.drop()
	return fmt.Errorf("store: %w: another server is %q, connected to this database from %s since %s", ErrNodeTaken, h.node.Name, from, since)
}

// keep starts the goroutine that looks after the lock. End ends it.
func (h *hold) keep(n schema.Node) {
	h.node = n
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	h.close = func() { cancel(); wg.Wait() }
	wg.Go(func() {
		look := time.NewTicker(holdLook)
		defer look.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-look.C:
			}
			if err := h.look(ctx); err != nil {
				h.taken(err)
				return
			}
		}
	})
}

// look sees to it that this process has the lock. Only that another one has
// taken the name is an error: as long as PostgreSQL does not answer, or still
// takes the connection that was lost for alive, there is nothing to do but
// to try again.
func (h *hold) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, holdAnswer)
	defer cancel()
	if h.conn != nil {
		if h.conn.PingContext(ctx) == nil {
			return nil
		}
		h.drop()
	}
	has, err := h.lock(ctx)
	if err != nil {
		return nil
	}
	var incarnation int64
	err = h.conn.QueryRowContext(ctx, "SELECT COALESCE(MAX(incarnation), 0) FROM nodes WHERE name = $1", h.node.Name).Scan(&incarnation)
	if err != nil || !has {
		h.drop()
	}
	if err == nil && incarnation != h.node.Incarnation {
		h.drop()
		return fmt.Errorf("store: %w: while this server had no connection, another became %q, or an older database came back", ErrNodeTaken, h.node.Name)
	}
	if err == nil && has {
		h.log("the node's lock, lost with its connection, is taken again", nil)
	}
	return nil
}

// drop gives the connection up, and the lock with it.
func (h *hold) drop() {
	if h.conn == nil {
		return
	}
	_ = h.conn.Raw(func(any) error { return driver.ErrBadConn }) // so it is closed, not kept
	_ = h.conn.Close()
	h.conn = nil
}

// release gives the name back.
func (h *hold) release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.end()
}

func (h *hold) end() {
	if h.close != nil {
		h.close()
		h.close = nil
	}
	h.unlock()
	h.drop()
}

// unlock gives the lock back at once: that a connection was closed the server
// notices a little later.
func (h *hold) unlock() {
	if h.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_, _ = h.conn.ExecContext(ctx, "SELECT pg_advisory_unlock_all()") // or it goes with the connection
}

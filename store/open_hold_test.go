package store

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgetether/tether/schema"
	"github.com/edgetether/tether/store/pgtest"
)

// node is a store that has claimed the name "n", and who has taken it since.
type node struct {
	*Store
	schema.Node
	taken chan error
}

func claimName(t *testing.T, database string) node {
	t.Helper()
	n := node{taken: make(chan error, 1)}
	n.Store = openURL(t, database, Options{OnTaken: func(err error) { n.taken <- err }})
	var err error
	n.Node, err = n.ClaimNode(t.Context(), "n", start)
	must(t, err)
	return n
}

// wantTaken fails unless a second process is refused the name "n".
func wantTaken(t *testing.T, database string) {
	t.Helper()
	s := openURL(t, database, Options{})
	if n, err := s.ClaimNode(t.Context(), "n", start); !errors.Is(err, ErrNodeTaken) || !strings.Contains(err.Error(), `another server is "n"`) {
		t.Fatalf("claimed %+v, %v", n, err)
	}
}

// holder is the server's process that has the lock of n; 0: none has.
func (n node) holder(t *testing.T) (pid int64) {
	t.Helper()
	must(t, n.engine.read.QueryRowContext(t.Context(), "SELECT COALESCE(MAX(pid), 0) FROM "+holdLocks+" WHERE key = "+holdKey, n.Name).Scan(&pid))
	return pid
}

// awaitHold waits until n has its lock, by another connection than before.
func (n node) awaitHold(t *testing.T, before int64) {
	t.Helper()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for until := time.Now().Add(time.Minute); ; <-look.C {
		if pid := n.holder(t); pid != 0 && pid != before {
			return
		}
		if time.Now().After(until) {
			t.Fatal("the lock was not taken again")
		}
	}
}

func (n node) wantNotTaken(t *testing.T) {
	t.Helper()
	select {
	case err := <-n.taken:
		t.Fatal(err)
	default:
	}
}

// One name is one process's; another name, and the same in another database, are not.
func TestHold_OneProcessAName(t *testing.T) {
	db, _ := postgresURL(t)
	first := claimName(t, db)
	wantTaken(t, db)
	other := openURL(t, db, Options{})
	_, err := other.ClaimNode(t.Context(), "m", start)
	must(t, err)
	elsewhere, _ := postgresURL(t)
	claimName(t, elsewhere)
	first.wantNotTaken(t)
	must(t, first.Close())
	if again := claimName(t, db); again.Number != first.Number || again.Incarnation <= first.Incarnation {
		t.Fatalf("%+v after %+v", again.Node, first.Node)
	}
}

// Of many that start at once, one has the name.
func TestHold_ManyAtOnce(t *testing.T) {
	db, _ := postgresURL(t)
	must(t, openAt(t, db, Options{}).Close())
	stores := make([]*Store, 8)
	errs := make([]error, len(stores))
	var wg sync.WaitGroup
	for i := range stores {
		stores[i] = openURL(t, db, Options{})
		wg.Go(func() { _, errs[i] = stores[i].ClaimNode(t.Context(), "n", start) })
	}
	wg.Wait()
	claimed := 0
	for _, err := range errs {
		if err == nil {
			claimed++
		} else if !errors.Is(err, ErrNodeTaken) {
			t.Error(err)
		}
	}
	equal(t, "claimed", claimed, 1)
}

// A connection that is lost is no name that is lost, and nor is a server that
// stops or is killed and comes back: the lock is taken again (reliability F28).
func TestF28_HoldIsTakenAgain(t *testing.T) {
	server, err := pgtest.Start("fsync=on")
	must(t, err)
	defer func() { must(t, server.Close()) }()
	n := claimName(t, server.URL(""))
	for name, away := range map[string]func() error{
		"terminated": func() error {
			return server.Exec(t.Context(), "SELECT pg_terminate_backend($1, 5000)", n.holder(t))
		},
		"stopped": func() error { return errors.Join(server.Stop(), server.Resume()) },
		"killed":  func() error { return errors.Join(server.Crash(), server.Resume()) },
	} {
		before := n.holder(t)
		must(t, away())
		awaitReady(t, n.Store)
		n.awaitHold(t, before)
		n.wantNotTaken(t)
		t.Log(name)
	}
	wantTaken(t, server.URL(""))
}

// Who had no connection while another took the name finds that out as soon as it has
// one again, be the other still there or not. It does not fight.
func TestHold_TakenMeanwhile(t *testing.T) {
	for _, stays := range []bool{true, false} {
		t.Run(fmt.Sprint("stays ", stays), func(t *testing.T) {
			direct, _ := postgresURL(t)
			p, through := newProxy(t, direct)
			first := claimName(t, through)
			before := first.Node
			p.away.Store(true)
			p.cutAll()
			second := claimName(t, direct)
			first.wantNotTaken(t)
			if !stays {
				must(t, second.Close())
			}
			p.away.Store(false)
			if err := <-first.taken; !errors.Is(err, ErrNodeTaken) {
				t.Fatal(err)
			}
			equal(t, "incarnation", second.Incarnation, before.Incarnation+1)
			second.wantNotTaken(t)
		})
	}
}

// A claim of a server that is away is an outage, and leaves the name free.
func TestHold_Unavailable(t *testing.T) {
	direct, _ := postgresURL(t)
	p, through := newProxy(t, direct)
	s := openURL(t, through, Options{})
	p.away.Store(true)
	p.cutAll()
	_, err := s.ClaimNode(t.Context(), "n", start)
	wantKind(t, err, schema.StoreUnavailable, "")
	p.away.Store(false)
	claimName(t, direct)
}

package store

import (
	"context"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/edgetether/tether/store/pgtest"
)

// engines are what the suite runs on. There is no way to leave one out: where
// PostgreSQL does not start, every test of it fails.
var engines = []string{"sqlite", "postgres"}

// each runs a test on every engine. Tests outside of it name their engine in
// the URL that they open: they are about that engine alone, or run in a bubble,
// where a real socket does not work.
func each(t *testing.T, test func(t *testing.T)) {
	for _, engine := range engines {
		t.Run(engine, test)
	}
}

// eachBench is each for benchmarks.
func eachBench(b *testing.B, bench func(b *testing.B)) {
	for _, engine := range engines {
		b.Run(engine, bench)
	}
}

// engineOf is the engine on which each runs this test.
func engineOf(t testing.TB) string {
	t.Helper()
	for _, engine := range engines {
		if strings.Contains(t.Name()+"/", "/"+engine+"/") {
			return engine
		}
	}
	t.Fatal("this test runs on no engine: use each")
	return ""
}

// newDatabase is the URL of an empty database of the test's engine.
func newDatabase(t testing.TB) string {
	t.Helper()
	if engineOf(t) == "sqlite" {
		return sqliteURL(t)
	}
	url, err := postgres(t).Schema(t.Context())
	must(t, err)
	return url
}

func sqliteURL(t testing.TB) string {
	return "sqlite:" + filepath.Join(t.TempDir(), "new", "tether.db")
}

// shared is the PostgreSQL of this run, made for the first test that asks;
// flushing is that of the benchmarks, which flushes its commits.
var (
	shared   = newServer()
	flushing = newServer("fsync=on", "full_page_writes=on")
)

// server starts when it is asked for, once.
type server struct {
	start   func() (*pgtest.Server, error)
	started *pgtest.Server
}

func newServer(settings ...string) *server {
	s := new(server)
	s.start = sync.OnceValues(func() (_ *pgtest.Server, err error) {
		s.started, err = pgtest.Start(settings...)
		return s.started, err
	})
	return s
}

func postgres(t testing.TB) *pgtest.Server {
	t.Helper()
	which := shared
	if _, ok := t.(*testing.B); ok {
		which = flushing
	}
	s, err := which.start()
	must(t, err)
	return s
}

// suite is a run of the tests that stops the servers after it.
type suite struct{ m *testing.M }

func (s suite) Run() int {
	code := s.m.Run()
	for _, which := range []*server{shared, flushing} {
		if which.started != nil {
			_ = which.started.Close()
		}
	}
	return code
}

// admin carries out a statement behind the store's back.
func admin(t testing.TB, text string, args ...any) {
	t.Helper()
	must(t, postgres(t).Exec(context.Background(), text, args...))
}

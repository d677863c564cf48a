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

// shared is the PostgreSQL of this run, made for the first test that asks.
var shared = sync.OnceValues(func() (*pgtest.Server, error) { return pgtest.Start() })

func postgres(t testing.TB) *pgtest.Server {
	t.Helper()
	s, err := shared()
	must(t, err)
	return s
}

// suite is a run of the tests that stops the server after it.
type suite struct{ m *testing.M }

func (s suite) Run() int {
	code := s.m.Run()
	if server, err := shared(); err == nil {
		_ = server.Close()
	}
	return code
}

// admin carries out a statement behind the store's back.
func admin(t testing.TB, text string, args ...any) {
	t.Helper()
	must(t, postgres(t).Exec(context.Background(), text, args...))
}

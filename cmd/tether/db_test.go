package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDB_BackupAndCheck: a service that runs is copied and checked, the copy
// is a database to go back to, and a damaged one is neither copied nor served.
func TestDB_BackupAndCheck(t *testing.T) {
	t.Parallel()
	s := serve(t)
	id, _ := s.api.addDevice("before")
	copied := filepath.Join(t.TempDir(), "copy.db")
	backup := tether(t, nil, "db", "backup", "--database", s.database(), "--to", copied)
	if backup.code() != 0 || !backup.out.has("read back and sound") {
		t.Fatalf("%s %s", &backup.out, &backup.err)
	}
	later, _ := s.api.addDevice("after")
	for _, database := range []string{s.database(), "sqlite:" + copied} {
		if check := tether(t, nil, "db", "check", "--database", database); check.code() != 0 || !check.out.has("nothing wrong") {
			t.Errorf("%s %s", &check.out, &check.err)
		}
	}
	s.kill()
	path := strings.TrimPrefix(s.database(), "sqlite:")
	for _, name := range []string{path, path + "-wal", path + "-shm"} {
		if err := os.Rename(name, name+".old"); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Rename(copied, path); err != nil {
		t.Fatal(err)
	}
	s.begin(t)
	s.api.device(id)
	if a := s.api.ask("GET", "device_query/"+later, ""); a.Code != "device_not_found" {
		t.Errorf("the later device: %+v", a)
	}
	s.signal(os.Interrupt)
	s.code()
	refused(t, s, path)
}

// refused breaks the database of a service that has ended.
func refused(t *testing.T, s *site, path string) {
	t.Helper()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, path, string(whole[:8<<10])+strings.Repeat("x", 8<<10)+string(whole[16<<10:]))
	for _, args := range [][]string{
		{"serve", "--listen", "127.0.0.1:0", "--database", s.database()},
		{"db", "backup", "--database", s.database(), "--to", path + ".copy"},
	} {
		if p := tether(t, nil, args...); p.code() != 1 || !p.err.has("the database is damaged: ") {
			t.Errorf("%s: %d %s", args[0], p.code(), &p.err)
		}
	}
	if p := tether(t, nil, "db", "check", "--database", s.database()); p.code() != 1 || p.out.String() == "" || !p.err.has("findings") {
		t.Errorf("check: %s %s", &p.out, &p.err)
	}
}

// TestDBCheck_Postgres: a PostgreSQL is checked too, what could not be is said,
// and what is shown of its URL has no password.
func TestDBCheck_Postgres(t *testing.T) {
	server := startPostgres(t)
	url := server.URL("") + "&password=canary"
	exec := func(text string) {
		t.Helper()
		if err := server.Exec(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	call(t, 0, nil, "migrate", "--database", url)
	out, err := call(t, 0, nil, "db", "check", "--database", url)
	if !out.has("postgres:///postgres: nothing wrong") || out.has("canary") || !err.has("CREATE EXTENSION amcheck") {
		t.Errorf("%s %s", out, err)
	}
	exec("CREATE EXTENSION amcheck")
	if _, err := call(t, 0, nil, "db", "check", "--database", url); err.String() != "" {
		t.Error(err)
	}
	exec("UPDATE counters SET value = -1 WHERE name = 'incarnation'")
	exec("INSERT INTO nodes (name, number, incarnation, lease_time) VALUES ('n', 0, 0, 0)")
	out, err = call(t, 1, nil, "db", "check", "--database", url)
	if !out.has("node n: it is of incarnation 0, and the counter stands at -1") || !err.has("postgres:///postgres: 1 findings") || err.has("canary") {
		t.Errorf("%s %s", out, err)
	}
	if got := withoutSecrets("postgres://u:canary@h/x?password=canary") + withoutSecrets("postgres://u:can%ary@h/x"); got != "postgres://u@h/x(unreadable)" {
		t.Error(got)
	}
}

package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgetether/tether/schema"
	"github.com/edgetether/tether/store"
)

// moveTo stops a service in good order, copies its database and goes on there.
func (s *site) moveTo(t *testing.T, url string) {
	t.Helper()
	s.signal(syscall.SIGTERM)
	if code := s.code(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	p := tool(t, 0, nil, "db", "copy", "--from", s.database(), "--to", url)
	for _, want := range []string{"devices ", "events ", "status_history ", "rows in ", "equal row for row"} {
		if !p.out.has(want) {
			t.Errorf("it does not say %q:\n%s", want, &p.out)
		}
	}
	s.url = url
	s.begin(t)
}

// TestDBCopy_WholeService: a service moves from SQLite to PostgreSQL and back.
// Its keys are good, a device comes back by the token that it has, another by
// its password, the logs have no gap, and pos goes on rising.
func TestDBCopy_WholeService(t *testing.T) {
	program := agentProgram(t)
	t.Parallel()
	url := startPostgres(t).URL("")
	s := serve(t)
	a := s.agent(program, "a", "orders: {echo: {command: [/bin/echo, on]}}\n")
	s.awaitState(a.id, schema.Online)
	other, password := s.api.addDevice("other")
	first := s.give(a.id, "echo", "{}").check(t, 200, "", "succeeded", "")

	logins := "id_password"
	for _, to := range []string{url, "sqlite:" + filepath.Join(t.TempDir(), "back.db")} {
		before := s.log(a.id)
		s.moveTo(t, to)
		logins += " token"
		await(t, "the device's return", func() bool { return strings.Join(s.told(a.id, schema.EventLogin, "form"), " ") == logins })
		s.dialWire(t).login(other, password, "boot-1")
		s.give(a.id, "echo", "{}").check(t, 200, "", "succeeded", "")
		if o := s.api.order(first.OrderID); o.State != schema.OrderSucceeded {
			t.Errorf("the first order is %s", o.State)
		}
		after := s.log(a.id) // which looks at each seq
		for i, e := range after {
			switch {
			case i < len(before) && (e.Pos != before[i].Pos || e.Kind != before[i].Kind):
				t.Errorf("event %d was %s at %d, and is %s at %d", i, before[i].Kind, before[i].Pos, e.Kind, e.Pos)
			case i > 0 && e.Pos <= after[i-1].Pos:
				t.Errorf("pos %d after %d", e.Pos, after[i-1].Pos)
			}
		}
		s.log(other)
	}
	s.signal(syscall.SIGTERM)
	s.code()
	tool(t, 0, nil, "db", "check", "--database", s.database())
}

// TestDBCopy_Refusals: nothing is copied from, or to, where it would do harm.
func TestDBCopy_Refusals(t *testing.T) {
	t.Parallel()
	s := serve(t)
	dir := t.TempDir()
	missing, empty := "sqlite:"+filepath.Join(dir, "missing.db"), "sqlite:"+filepath.Join(dir, "new", "empty.db")
	spare := "sqlite:" + filepath.Join(dir, "spare.db")
	tool(t, 0, nil, "db", "backup", "--database", s.database(), "--to", strings.TrimPrefix(spare, "sqlite:"))
	for _, c := range []struct{ from, to, says string }{
		{s.database(), empty, "in use by another server"},
		{spare, s.database(), "in use by another server"},
		{spare, spare, "the same database"},
		{missing, empty, "there is no database"},
		{spare, "mysql://x", "must be given as"},
		{"", "", "are the same"},
	} {
		if _, err := call(t, 1, nil, "db", "copy", "--from", c.from, "--to", c.to); !err.has(c.says) {
			t.Errorf("%+v: %s", c, err)
		}
	}
	if _, err := os.Stat(strings.TrimPrefix(empty, "sqlite:")); err == nil {
		t.Error("a target was made")
	}
	call(t, 0, nil, "db", "copy", "--from", spare, "--to", empty)
	if _, err := call(t, 1, nil, "db", "copy", "--from", spare, "--to", empty); !err.has("the target is not empty") || !err.has("drop") {
		t.Error(err)
	}
}

// TestDBCopy_Differs: the table that differs is shown and named, and the exit
// code tells.
func TestDBCopy_Differs(t *testing.T) {
	server := startPostgres(t)
	from := "sqlite:" + filepath.Join(t.TempDir(), "tether.db")
	call(t, 0, nil, "key", "add", "line-2", "--database", from)
	call(t, 0, nil, "migrate", "--database", server.URL(""))
	if err := server.Exec(t.Context(), `CREATE FUNCTION bend() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.name = ''?''; RETURN NEW; END';
		CREATE TRIGGER bend BEFORE INSERT ON api_keys FOR EACH ROW EXECUTE FUNCTION bend()`); err != nil {
		t.Fatal(err)
	}
	out, err := call(t, 1, nil, "db", "copy", "--from", from, "--to", server.URL(""))
	if !regexp.MustCompile(`(?m)^api_keys +1 +([0-9a-f]{16}) +1 +([0-9a-f]{16}) +DIFFERENT$`).MatchString(out.String()) ||
		strings.Count(out.String(), " equal\n") != 14 || !err.has("table api_keys: the copy is not what was copied") || out.has("row for row") {
		t.Errorf("it wrote\n%s\nand %s", out, err)
	}
}

// TestDBCopy_ReceivedLogs: the files that no copy of a database has are not
// forgotten in silence, and not mentioned where there are none.
func TestDBCopy_ReceivedLogs(t *testing.T) {
	server := startPostgres(t)
	dir := t.TempDir()
	from, to := server.URL(""), "sqlite:"+filepath.Join(dir, "a.db")
	call(t, 0, nil, "migrate", "--database", from)
	if out, _ := call(t, 0, nil, "db", "copy", "--from", from, "--to", to); out.has("received logs") {
		t.Error(out)
	}
	if err := server.Exec(t.Context(), "INSERT INTO logfiles (order_id, device_id, bytes, sha256, created_time) VALUES ('o', 'd', 1, '', 0)"); err != nil {
		t.Fatal(err)
	}
	for to, want := range map[string]string{
		"sqlite:" + filepath.Join(dir, "b.db"): "received logs: 1, which are files and in no database: copy data/logs to " + dir + "/logs, or give",
		server.URL("") + "&search_path=other":  "they stay in data/logs",
	} {
		if err := server.Exec(t.Context(), "CREATE SCHEMA IF NOT EXISTS other"); err != nil {
			t.Fatal(err)
		}
		if out, _ := call(t, 0, nil, "db", "copy", "--from", from, "--to", to); !out.has(want) {
			t.Error(out)
		}
	}
}

// TestDBCopy_Interrupted is a failure, and no silent one.
func TestDBCopy_Interrupted(t *testing.T) {
	dir := "sqlite:" + t.TempDir()
	call(t, 0, nil, "migrate", "--database", dir+"/a.db")
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	var out, err output
	if code := run(ctx, []string{"db", "copy", "--from", dir + "/a.db", "--to", dir + "/b.db"}, nil, &out, &err); code != 1 || !err.has("interrupted: begin again") {
		t.Errorf("%d %s%s", code, &out, &err)
	}
}

// TestDBCopy_Shows: how far it is, and what it is at.
func TestDBCopy_Shows(t *testing.T) {
	for terminal, want := range map[bool]string{
		true: clearLine + "[##########....................]  33 %  copying events" + clearLine +
			"[####################..........]  67 %  comparing events" + clearLine,
		false: "33 %  copying events\n67 %  comparing events\n",
	} {
		synctest.Test(t, func(t *testing.T) {
			var err bytes.Buffer
			show := newBar(&err, terminal)
			for _, p := range []store.CopyProgress{{Table: "events", Done: 100}, {Checking: true, Table: "events", Done: 200}} {
				p.Of = 299
				tellCopy(&show, p) // too early
				time.Sleep(lineInterval)
				tellCopy(&show, p)
			}
			show.clear()
			if err.String() != want {
				t.Errorf("it wrote %q", &err)
			}
		})
	}
}

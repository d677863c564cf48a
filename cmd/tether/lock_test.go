package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgetether/tether/schema"
)

// TestSecondServer: a second server on the same database is refused before it
// touches anything; after the first one's end it is not.
func TestSecondServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, id, _, c := online(t)
		_, err := newService(t.Context(), w.config)
		if err == nil || !strings.Contains(err.Error(), "in use by another server") {
			t.Errorf("the second server: %v", err)
		}
		if d := w.device(id); d.State != schema.Online || d.StateReason != "login" {
			t.Errorf("the first one's device is %s, %s", d.State, d.StateReason)
		}
		c.drop()
		w.settle()
		if n := count(w.said(id), "disconnect offline eof"); n != 1 {
			t.Errorf("the log has %q", w.said(id))
		}
		w.end()
		w.start()
	})
}

// TestSecondServer_Link: by another name it is the same database, and the same lock.
func TestSecondServer_Link(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "tether.db"), filepath.Join(t.TempDir(), "other.db")
	if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Symlink(path, link)); err != nil {
		t.Fatal(err)
	}
	chain, later := filepath.Join(dir, "chain.db"), filepath.Join(dir, "later.db") // that is not there yet
	if err := errors.Join(os.Symlink(chain, link+"2"), os.Symlink("later.db", chain)); err != nil {
		t.Fatal(err)
	}
	for _, names := range [][2]string{{path, link}, {link, path}, {link + "2", later}, {later, link + "2"}} {
		l, err := lockDatabase("sqlite:" + names[0])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := lockDatabase("sqlite:" + names[1]); err == nil {
			t.Errorf("%s is locked, and so is %s", names[0], names[1])
		}
		if err := l.release(); err != nil {
			t.Error(err)
		}
	}
}

// TestMigrateDown_InUse: a service's tables are not taken away from under it.
func TestMigrateDown_InUse(t *testing.T) {
	t.Parallel()
	s := serve(t)
	if _, err := call(t, 1, nil, "migrate", "--down", "--database", s.database()); !err.has("in use by another server") {
		t.Errorf("it said %q", err)
	}
	if _, err := call(t, 0, nil, "migrate", "--status", "--database", s.database()); err.String() != "" {
		t.Errorf("a look is refused: %q", err)
	}
	spare := "sqlite:" + filepath.Join(t.TempDir(), "tether.db")
	for _, args := range [][]string{{}, {"--down"}, {"--down"}} { // each gives the lock back
		call(t, 0, nil, append([]string{"migrate", "--database", spare}, args...)...)
	}
	other := serveOn(t, startPostgres(t).URL(""))
	if _, err := call(t, 1, nil, "migrate", "--down", "--database", other.database()); !err.has(`in use by the server "tether-1": stop that one first`) {
		t.Errorf("it said %q", err)
	}
}

// TestSecondServer_Postgres: a second server of the same name is refused before
// it touches anything, and told what to do. One that was killed is back at once. One
// that stood still while another took its place stops when it notices.
func TestSecondServer_Postgres(t *testing.T) {
	server := startPostgres(t)
	url := server.URL("")
	s := serveOn(t, url)
	id, password := s.api.addDevice("a")
	c := s.dialWire(t)
	c.login(id, password, "boot-1")
	second := tether(t, nil, "serve", "--listen", "127.0.0.1:0", "--database", url)
	if code := second.code(); code != 1 || !second.err.has(`another server is "tether-1", connected to this database from the machine of the database since 2`) ||
		!second.err.has("Stop that server, or give --database another database") || second.out.has(schema.KeyPrefix) {
		t.Errorf("the second server: %d %s%s", code, &second.out, &second.err)
	}
	if d := s.api.device(id); d.State != schema.Online {
		t.Errorf("the first one's device is %s, %s", d.State, d.StateReason)
	}
	if other := tether(t, nil, "key", "add", "line-2", "--database", url); other.code() != 0 {
		t.Errorf("key add: %s", &other.err)
	}

	began := time.Now()
	s.kill()
	s.begin(t)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("back after %v", took)
	}
	s.freeze()
	if err := server.Exec(t.Context(), killOthers); err != nil {
		t.Fatal(err)
	}
	first := s.process
	s.address = "127.0.0.1:0"
	s.begin(t)
	if err := first.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if code := first.code(); code != 1 || !first.err.has("the name of this server is taken") {
		t.Errorf("the first server: %d %s", code, &first.err)
	}
	s.mustRun()
	s.api.device(id)
}

// TestBigParams: what northapi admits reaches the device, and its answer comes
// back, close to the size of a message.
func TestBigParams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, id, _, c := online(t)
		for _, size := range []int{100, 4000, 30_000} {
			got := w.giveOrder(id, "blink", `,"params":{"x":"`+strings.Repeat("a", size)+`"}`)
			call, g := c.asked()
			if len(g.Params) != size+len(`{"x":""}`) {
				t.Errorf("%d bytes arrived of %d", len(g.Params), size)
			}
			c.answer(call, `{"status":"success","message":"","data":{"y":"`+strings.Repeat("b", 60_000)+`"}}`)
			(<-got).check(t, 200, "", "succeeded", "")
		}
	})
}

// TestRestartWindow: the setting holds for the proof as for the lack of it.
func TestRestartWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *serviceConfig) { c.restartWindow = 2 * time.Minute })
		id, password := w.addDevice("a")
		c := w.connect("10.0.0.7")
		c.login(id, password, "boot-1")
		got := w.giveOrder(id, "restart", "")
		_, g := c.asked()
		c.drop()
		<-got
		time.Sleep(90 * time.Second)
		w.connect("10.0.0.7").login(id, password, "boot-2")
		if o := w.order(g.OrderID); o.Verified == nil || !*o.Verified {
			t.Errorf("verified: %v", o.Verified)
		}
	})
}

// TestMistypedPath makes no database.
func TestMistypedPath(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nothing.db")
	for _, args := range [][]string{{"key", "list"}, {"key", "revoke", "1"}, {"migrate", "--status"}} {
		var stderr strings.Builder
		code := run(t.Context(), append(args, "--database", "sqlite:"+path), nil, io.Discard, &stderr)
		if code != 1 || !strings.Contains(stderr.String(), "there is no database") {
			t.Errorf("%v: %d %s", args, code, stderr.String())
		}
	}
}

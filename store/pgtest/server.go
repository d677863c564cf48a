//go:build unix

package pgtest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// startTime is how long a server may take until it answers.
const startTime = time.Minute

// role is the name of the superuser, and of nothing else.
const role = "tether"

// Server is a PostgreSQL. Its methods are for one goroutine, Schema apart.
type Server struct {
	dir     string
	bin     string
	user    *syscall.Credential // nil: ours
	more    []string            // settings
	process *exec.Cmd           // nil: stopped
	ended   chan struct{}       // closed when process has
	schemas atomic.Int64
}

// Start makes a server and waits until it answers. Settings are added to its
// command line, such as "fsync=on"; by default it keeps nothing safe from a
// power cut, and is fast.
func Start(settings ...string) (*Server, error) {
	bin, err := programs()
	if err != nil {
		return nil, err
	}
	// Not os.TempDir: the name of a socket is short, and the user postgres
	// need not see what is ours.
	dir, err := os.MkdirTemp("/tmp", "tether-pg-")
	if err != nil {
		return nil, fmt.Errorf("pgtest: %w", err)
	}
	s := &Server{dir: dir, bin: bin, more: settings}
	if err := s.prepare(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := s.Resume(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// programs finds PostgreSQL's programs, where Debian puts them as well.
func programs() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path), nil
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return "", errors.Join(errors.New("pgtest: PostgreSQL is missing: apt-get install postgresql"), err)
	}
	slices.Sort(found)
	return filepath.Dir(found[len(found)-1]), nil
}

// prepare makes the files of a server, in the encoding and with the collation
// that most databases in the field have.
func (s *Server) prepare() error {
	if os.Geteuid() == 0 {
		if err := s.becomePostgres(); err != nil {
			return err
		}
	}
	c := s.command("initdb", "-D", s.data(), "-U", role, "-A", "trust", "-E", "UTF8", "--no-sync",
		"--locale", "C.UTF-8", "--locale-provider", "icu", "--icu-locale", "en-US")
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("pgtest: initdb: %w\n%s", err, out)
	}
	return nil
}

func (s *Server) becomePostgres() error {
	u, err := user.Lookup("postgres")
	if err != nil {
		return fmt.Errorf("pgtest: %w", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return fmt.Errorf("pgtest: %w", err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return fmt.Errorf("pgtest: %w", err)
	}
	s.user = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	if err := os.Chown(s.dir, int(uid), int(gid)); err != nil {
		return fmt.Errorf("pgtest: %w", err)
	}
	return nil
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

func (s *Server) command(name string, args ...string) *exec.Cmd {
	c := exec.Command(filepath.Join(s.bin, name), args...)
	c.Dir = s.dir
	c.SysProcAttr = attributes(s.user)
	return c
}

// Resume starts the server on what it has stored, after Stop or Crash, and
// waits until it answers. After a crash it has to be tried until the last
// process of the life before has found out that it is alone.
func (s *Server) Resume() error {
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	for {
		if err := s.launch(); err != nil {
			return err
		}
		if err := s.awaitAnswer(ctx); err == nil {
			return nil
		}
		if ctx.Err() != nil {
			text, _ := os.ReadFile(filepath.Join(s.dir, "log")) // what there is of it
			return fmt.Errorf("pgtest: no answer\n%s", text)
		}
	}
}

func (s *Server) launch() error {
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("pgtest: %w", err)
	}
	args := []string{"-D", s.data(), "-k", s.dir, "-c", "listen_addresses=", "-c", "max_connections=200"}
	for _, setting := range append([]string{"fsync=off", "full_page_writes=off"}, s.more...) {
		args = append(args, "-c", setting)
	}
	c := s.command("postgres", args...)
	c.Stdout, c.Stderr = log, log
	if err := errors.Join(c.Start(), log.Close()); err != nil {
		return fmt.Errorf("pgtest: %w", err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = c.Wait() }() // until end, or it ends by itself
	s.process, s.ended = c, ended
	return nil
}

// awaitAnswer returns an error when the process ends or ctx does.
func (s *Server) awaitAnswer(ctx context.Context) error {
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for {
		conn, err := pgx.Connect(ctx, s.URL(""))
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-look.C:
		case <-s.ended:
			return err
		case <-ctx.Done():
			return err
		}
	}
}

// URL is how to reach a schema of the server; "" is the default one.
func (s *Server) URL(schema string) string {
	q := url.Values{"host": {s.dir}, "user": {role}}
	if schema != "" {
		q.Set("search_path", schema)
	}
	return "postgres:///postgres?" + q.Encode()
}

// Schema makes an empty schema, which to a program is an empty database, and
// returns its URL. (A database of its own would take ten times as long.)
func (s *Server) Schema(ctx context.Context) (string, error) {
	name := fmt.Sprint("test", s.schemas.Add(1))
	return s.URL(name), s.Exec(ctx, "CREATE SCHEMA "+name)
}

// Exec carries out an SQL statement as the superuser, on a connection of its
// own, also where a test has made sessions read-only.
func (s *Server) Exec(ctx context.Context, text string, args ...any) error {
	conn, err := pgx.Connect(ctx, s.URL("")+"&default_transaction_read_only=off")
	if err != nil {
		return fmt.Errorf("pgtest: %w", err)
	}
	_, err = conn.Exec(ctx, text, args...)
	return errors.Join(err, conn.Close(ctx))
}

// Stop stops the server in good order, with whoever is connected cut off.
func (s *Server) Stop() error { return s.end(syscall.SIGINT) }

// Crash kills the server with SIGKILL, as the kernel would that ran out of memory.
func (s *Server) Crash() error { return s.end(syscall.SIGKILL) }

func (s *Server) end(signal syscall.Signal) error {
	if s.process == nil {
		return nil
	}
	err := s.process.Process.Signal(signal)
	<-s.ended
	s.process = nil
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("pgtest: %w", err)
	}
	return nil
}

// Close stops the server and removes its files.
func (s *Server) Close() error {
	return errors.Join(s.Stop(), os.RemoveAll(s.dir))
}

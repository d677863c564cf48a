package store

import (
	"bytes"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
)

// cut says what a proxy does to a connection that carries a COMMIT.
type cut int32

const (
	passOn    cut = iota
	cutBefore     // the server never sees it
	cutAfter      // the server has answered, and nobody hears of it
)

// proxy stands between the store and PostgreSQL.
type proxy struct {
	target string
	what   atomic.Int32 // of the next COMMIT, as a cut
	away   atomic.Bool  // nobody gets through
	cuts   atomic.Int32

	listener net.Listener
	wg       sync.WaitGroup
	mu       sync.Mutex
	open     []net.Conn
}

// newProxy returns a proxy and the URL that leads through it.
func newProxy(t *testing.T, server string) (*proxy, string) {
	t.Helper()
	u, err := url.Parse(server)
	must(t, err)
	dir, err := os.MkdirTemp("/tmp", "tether-proxy-") // the name of a socket is short
	must(t, err)
	const name = ".s.PGSQL.5432"
	q := u.Query()
	p := &proxy{target: filepath.Join(q.Get("host"), name)}
	p.listener, err = net.Listen("unix", filepath.Join(dir, name))
	must(t, err)
	p.wg.Go(p.accept)
	t.Cleanup(func() {
		_ = p.listener.Close()
		p.cutAll()
		p.wg.Wait()
		must(t, os.RemoveAll(dir))
	})
	q.Set("host", dir)
	u.RawQuery = q.Encode()
	return p, u.String()
}

func (p *proxy) accept() {
	for {
		near, err := p.listener.Accept()
		if err != nil {
			return
		}
		if p.away.Load() {
			_ = near.Close()
			continue
		}
		far, err := net.Dial("unix", p.target)
		if err != nil {
			_ = near.Close()
			continue
		}
		p.mu.Lock()
		p.open = append(p.open, near, far)
		p.mu.Unlock()
		committing := new(atomic.Bool)
		p.wg.Go(func() { p.carry(far, near, committing, true) })
		p.wg.Go(func() { p.carry(near, far, committing, false) })
	}
}

// carry copies one direction until either end is closed, or it is cut.
func (p *proxy) carry(to, from net.Conn, committing *atomic.Bool, toServer bool) {
	defer func() { _, _ = to.Close(), from.Close() }()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		if toServer && bytes.Contains(buf[:n], []byte("Q\x00\x00\x00\x0bcommit\x00")) {
			switch cut(p.what.Swap(int32(passOn))) {
			case cutBefore:
				p.cuts.Add(1)
				return
			case cutAfter:
				committing.Store(true)
			}
		}
		if !toServer && committing.Load() {
			p.cuts.Add(1)
			return
		}
		if _, err := io.Copy(to, bytes.NewReader(buf[:n])); err != nil {
			return
		}
	}
}

// cutAll ends all connections.
func (p *proxy) cutAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.open {
		_ = c.Close()
	}
	p.open = nil
}

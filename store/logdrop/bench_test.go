package logdrop

import (
	"net"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// BenchmarkUpload is one upload_log order: credential, login, 1 MiB, complete.
func BenchmarkUpload(b *testing.B) {
	r, err := Open(Options{Dir: filepath.Join(b.TempDir(), "logs"), Rows: &memoryRows{}})
	if err != nil {
		b.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	if err := r.announce(l.Addr()); err != nil {
		b.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- r.Serve(l) }()
	content := noise(1 << 20)
	data := dataOf(content)
	b.SetBytes(data.Bytes)
	for i := 0; b.Loop(); i++ {
		order := strconv.Itoa(i)
		target, err := r.Issue(order, "d", time.Now())
		if err != nil {
			b.Fatal(err)
		}
		c, err := tryDial(b, target)
		if err != nil {
			b.Fatal(err)
		}
		if err := c.put("/x", content); err != nil {
			b.Fatal(err)
		}
		if err := r.Complete(b.Context(), order, data, time.Now()); err != nil {
			b.Fatal(err)
		}
		c.ssh.Close()
	}
	r.Close()
	if err := <-served; err != nil {
		b.Fatal(err)
	}
}

// BenchmarkLogin is what a stranger's guess costs besides the handshake.
func BenchmarkLogin(b *testing.B) {
	book := newBook(1)
	u, password, _ := book.issue("o", "d", time.Now())
	for b.Loop() {
		if book.login(u.user, []byte(password), time.Now()) != u {
			b.Fatal("refused")
		}
	}
}

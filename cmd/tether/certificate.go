package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"
)

// certificateLook is how often the files of a certificate are looked at.
const certificateLook = 10 * time.Second

// certificate is what TLS shows: the pair of files as they were when they last
// were a good pair. Whoever renews them need not restart the service.
type certificate struct {
	certFile, keyFile string
	log               *slog.Logger
	current           atomic.Pointer[tls.Certificate]
	seen              [2]os.FileInfo // when they were last read; nil: not there. watch's alone
}

// openCertificate reads a pair, which must be good.
func openCertificate(certFile, keyFile string, log *slog.Logger) (*certificate, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile, log: log}
	c.seen = c.look()
	if err := c.read(); err != nil {
		return nil, fmt.Errorf("--tls-cert, --tls-key: %w", err)
	}
	return c, nil
}

func (c *certificate) read() error {
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return err
	}
	c.current.Store(&pair)
	return nil
}

// look comes before the files are read: what changes meanwhile is seen at the next one.
func (c *certificate) look() (now [2]os.FileInfo) {
	for i, name := range []string{c.certFile, c.keyFile} {
		if info, err := os.Stat(name); err == nil {
			now[i] = info
		}
	}
	return now
}

// unchanged says whether both files are the ones that were read, as they were then.
func (c *certificate) unchanged(now [2]os.FileInfo) bool {
	for i, was := range c.seen {
		is := now[i]
		if (was == nil) != (is == nil) || was != nil && !(os.SameFile(was, is) && was.ModTime().Equal(is.ModTime()) && was.Size() == is.Size()) {
			return false
		}
	}
	return true
}

// watch takes up a renewed pair until ctx ends: when it is told to by asked, and
// when the files have changed. A pair that is not good, such as one of which
// but one file has come yet, is told once, and the one before stays.
func (c *certificate) watch(ctx context.Context, asked <-chan os.Signal) {
	tick := time.NewTicker(certificateLook)
	defer tick.Stop()
	for {
		told := false
		select {
		case <-ctx.Done():
			return
		case <-asked:
			told = true
		case <-tick.C:
		}
		now := c.look()
		if !told && c.unchanged(now) {
			continue
		}
		c.seen = now
		if err := c.read(); err != nil {
			c.log.Error("the new certificate is not taken, the one before stays", "cert", c.certFile, "error", err)
			continue
		}
		c.log.Info("a new certificate is taken", "cert", c.certFile, "until", c.current.Load().Leaf.NotAfter)
	}
}

// config is TLS with whatever pair is current.
func (c *certificate) config() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current.Load(), nil },
	}
}

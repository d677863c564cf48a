package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// replaced puts the files of another pair in the place of a pair.
func replaced(t *testing.T, certFile, keyFile string) (roots *x509.CertPool) {
	t.Helper()
	newCert, newKey, roots := selfSigned(t)
	for from, to := range map[string]string{newCert: certFile, newKey: keyFile} {
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	return roots
}

// shows says whether the server at an address shows what roots vouch for.
func (s *site) shows(roots *x509.CertPool) bool {
	conn, err := tls.Dial("tcp", s.address, &tls.Config{RootCAs: roots})
	if err != nil {
		return false
	}
	return conn.Close() == nil
}

// TestCertificate_TakenUpBySignal: SIGHUP has a renewed certificate shown, and
// what was connected before stays so. A pair that does not fit is not taken.
func TestCertificate_TakenUpBySignal(t *testing.T) {
	t.Parallel()
	cert, key, old := selfSigned(t)
	s := serve(t, "--tls-cert", cert, "--tls-key", key)
	before, err := tls.Dial("tcp", s.address, &tls.Config{RootCAs: old})
	if err != nil {
		t.Fatal(err)
	}
	defer before.Close()
	writeFile(t, cert, "no certificate")
	s.signal(syscall.SIGHUP)
	await(t, "word of a bad pair", func() bool { return s.err.has("the new certificate is not taken") })
	if !s.shows(old) {
		t.Error("the old one is not shown any more")
	}
	renewed := replaced(t, cert, key)
	s.signal(syscall.SIGHUP)
	await(t, "the new one", func() bool { return s.shows(renewed) })
	if s.shows(old) {
		t.Error("the old one is shown as well")
	}
	if _, err := before.Write([]byte("GET /healthz HTTP/1.1\r\nHost: t\r\n\r\n")); err != nil {
		t.Error(err)
	}
	answer := make([]byte, 15)
	if _, err := before.Read(answer); err != nil || string(answer) != "HTTP/1.1 200 OK" {
		t.Errorf("%q, %v", answer, err)
	}
	s.mustRun()
}

// TestCertificate_Looks: the files are looked at every ten seconds. Of a pair
// of which one file has come, nothing is taken and one word is said; with the
// other it is. Files that are not there change nothing.
func TestCertificate_Looks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		certFile, keyFile, _ := selfSigned(t)
		newCert, newKey, _ := selfSigned(t)
		var log bytes.Buffer
		c, err := openCertificate(certFile, keyFile, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		first := c.current.Load()
		ctx, stop := context.WithCancel(t.Context())
		watched := make(chan struct{})
		go func() { defer close(watched); c.watch(ctx, nil) }()
		move := func(from, to string) {
			t.Helper()
			if err := os.Rename(from, to); err != nil {
				t.Fatal(err)
			}
		}
		look := func(taken bool, words int) {
			t.Helper()
			time.Sleep(3 * certificateLook)
			synctest.Wait()
			if (c.current.Load() != first) != taken || strings.Count(log.String(), "\n") != words {
				t.Errorf("taken: %t; it said\n%s", c.current.Load() != first, &log)
			}
		}
		time.Sleep(time.Millisecond)
		look(false, 0)
		aside := filepath.Join(t.TempDir(), "aside")
		move(certFile, aside)
		look(false, 1)
		move(aside, certFile)
		look(true, 2) // the same pair, read anew
		first = c.current.Load()
		move(newCert, certFile)
		look(false, 3)
		move(newKey, keyFile)
		look(true, 4)
		stop()
		<-watched
	})
}

package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgetether/tether/schema"
	"github.com/gorilla/websocket"
)

// selfSigned makes a certificate of loopback that vouches for itself.
func selfSigned(t *testing.T) (certFile, keyFile string, roots *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "tether"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile, roots = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), x509.NewCertPool()
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})
	roots.AppendCertsFromPEM(certPEM)
	writeFile(t, certFile, string(certPEM))
	writeFile(t, keyFile, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
	return certFile, keyFile, roots
}

// TestTLS: devices and business come in over TLS 1.2 and later, and an agent
// that does not trust the server's issuer never shows its password.
func TestTLS(t *testing.T) {
	program := agentProgram(t)
	t.Parallel()
	cert, key, roots := selfSigned(t)
	s := serve(t, "--tls-cert", cert, "--tls-key", key)
	if !s.secure {
		t.Fatal("it does not say https")
	}
	dial := func(lowest, highest uint16) (net.Conn, error) {
		d := tls.Dialer{Config: &tls.Config{RootCAs: roots, MinVersion: lowest, MaxVersion: highest}}
		return d.DialContext(t.Context(), "tcp", s.address)
	}
	if _, err := dial(tls.VersionTLS10, tls.VersionTLS11); err == nil || !strings.Contains(err.Error(), "protocol version") {
		t.Errorf("TLS 1.1: %v", err)
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		conn, err := dial(version, version)
		if err != nil {
			t.Fatalf("%s: %v", tls.VersionName(version), err)
		}
		conn.Close()
	}
	s.api.http.Transport.(*http.Transport).DialContext = func(context.Context, string, string) (net.Conn, error) {
		return dial(tls.VersionTLS12, tls.VersionTLS13)
	}

	trusting := s.agent(program, "trusting", "ca_file: "+cert+"\n")
	s.awaitState(trusting.id, schema.Online)
	wary := s.agent(program, "wary", "max_tries: 1\n")
	if code := wary.code(); code != 1 || !strings.Contains(wary.own(), "certificate signed by unknown authority") {
		t.Errorf("without the issuer: exit code %d\n%s", code, wary.own())
	}
	if got := s.log(wary.id); len(got) != 1 || got[0].Kind != schema.EventUpdate {
		t.Errorf("the server heard of it: %+v", got)
	}
}

// TestT21_UnsafeIsRefused: what would put requests or passwords in the open is
// not begun, and the message names the flag that matters.
func TestT21_UnsafeIsRefused(t *testing.T) {
	t.Parallel()
	cert, key, _ := selfSigned(t)
	for _, c := range []struct{ args, says string }{
		{"--listen 0.0.0.0:0", "--insecure-plaintext"},
		{"--listen :0", "--insecure-plaintext"},
		{"--listen [::]:0", "--insecure-plaintext"},
		{"--listen 0.0.0.0:0 --insecure-plaintext --auth off", "--auth off"},
		{"--listen 0.0.0.0:0 --tls-cert " + cert + " --tls-key " + key + " --auth off", "--auth off"},
		{"--listen 127.0.0.1:0 --tls-cert " + cert, "--tls-key"},
		{"--listen 127.0.0.1:0 --tls-cert " + key + " --tls-key " + cert, "--tls-cert"},
	} {
		database := filepath.Join(t.TempDir(), "some.db")
		out, err := call(t, 1, nil, append([]string{"serve", "--database", "sqlite:" + database}, strings.Fields(c.args)...)...)
		if !err.has(c.says) || strings.Count(err.String(), "\n") != 1 {
			t.Errorf("%s: it said %q", c.args, err)
		}
		if out.has(schema.KeyPrefix) {
			t.Errorf("%s: it told a key", c.args)
		}
	}
	tool(t, 1, nil, "serve", "--listen", "0.0.0.0:0")
}

// TestAuthOff: on loopback requests may do without a key, if that was asked for.
func TestAuthOff(t *testing.T) {
	t.Parallel()
	s := serve(t, "--auth", "off")
	for name, want := range map[string]int{"127.0.0.1": 200, "localhost:9090": 200, "tether": 401} {
		request := "GET /service/devices_manage/device_query_all HTTP/1.1\r\nHost: " + name + "\r\n\r\n"
		if got := headStatus(t, s.address, request); got != want {
			t.Errorf("of %s: %d", name, got)
		}
	}
	if _, err := os.Stat(filepath.Join(s.dir, "tether.db")); err != nil {
		t.Error(err)
	}
}

// TestProtocols: business may speak HTTP/2, over TLS by agreement and without
// it by knowing; a device's WebSocket keeps HTTP/1.1.
func TestProtocols(t *testing.T) {
	t.Parallel()
	cert, key, roots := selfSigned(t)
	secure, plain := serve(t, "--tls-cert", cert, "--tls-key", key), serve(t)
	var known, first http.Protocols
	known.SetUnencryptedHTTP2(true)
	first.SetHTTP1(true)
	for _, c := range []struct {
		url       string
		transport *http.Transport
		major     int
	}{
		{"https://" + secure.address, &http.Transport{ForceAttemptHTTP2: true}, 2},
		{"https://" + secure.address, &http.Transport{Protocols: &first}, 1},
		{"http://" + plain.address, &http.Transport{Protocols: &known}, 2},
		{"http://" + plain.address, &http.Transport{}, 1},
	} {
		c.transport.TLSClientConfig = &tls.Config{RootCAs: roots}
		resp, err := (&http.Client{Transport: c.transport}).Get(c.url + "/readyz")
		if err != nil {
			t.Fatalf("%s: %v", c.url, err)
		}
		resp.Body.Close()
		if resp.StatusCode != 200 || resp.ProtoMajor != c.major {
			t.Errorf("%s: %s %s, want HTTP/%d", c.url, resp.Proto, resp.Status, c.major)
		}
		c.transport.CloseIdleConnections()
	}
	offers := tls.Dialer{Config: &tls.Config{RootCAs: roots, NextProtos: []string{"h2", "http/1.1"}}}
	d := websocket.Dialer{NetDialTLSContext: offers.DialContext}
	if _, resp, err := d.Dial("wss://"+secure.address+"/ws", nil); err == nil {
		t.Errorf("a WebSocket over HTTP/2: %s", resp.Status)
	}
	d.NetDialTLSContext, d.TLSClientConfig = nil, &tls.Config{RootCAs: roots}
	conn, _, err := d.Dial("wss://"+secure.address+"/ws", nil)
	if err != nil {
		t.Fatalf("a WebSocket: %v", err)
	}
	conn.Close()
}

// http2 speaks HTTP/2 by hand: after the preface come frames of a type, flags, a
// stream and a payload.
func (s *site) http2(t *testing.T, frames ...[]byte) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(time.Minute))
	if _, err := conn.Write(slices.Concat([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), slices.Concat(frames...))); err != nil {
		t.Fatal(err)
	}
	return conn
}

func http2Frame(kind, flags byte, stream uint32, payload string) []byte {
	head := binary.BigEndian.AppendUint32(nil, uint32(len(payload))<<8|uint32(kind))
	return append(binary.BigEndian.AppendUint32(append(head, flags), stream), payload...)
}

// frameOfType reads frames to the first of a type, and returns its payload.
func frameOfType(t *testing.T, conn net.Conn, kind byte) []byte {
	t.Helper()
	for {
		var head [9]byte
		if _, err := io.ReadFull(conn, head[:]); err != nil {
			t.Fatalf("no frame of type %d: %v", kind, err)
		}
		payload := make([]byte, binary.BigEndian.Uint32(head[:4])>>8)
		if _, err := io.ReadFull(conn, payload); err != nil {
			t.Fatal(err)
		}
		if head[3] == kind {
			return payload
		}
	}
}

// Types of frames of RFC 9113 section 6.
const (
	http2Headers  = 1
	http2Reset    = 3
	http2Settings = 4
	http2GoAway   = 7
)

// TestT15_HTTP2Frame: a frame that claims more than 16 KiB is refused, before
// anything of it is held.
func TestT15_HTTP2Frame(t *testing.T) {
	t.Parallel()
	s := serve(t)
	settings := http2Frame(http2Settings, 0, 0, "")
	for size, ended := range map[int]bool{16 << 10: false, 16<<10 + 1: true} {
		big := http2Frame(0x77, 0, 0, strings.Repeat("x", size))
		if ended {
			big = big[:9]
		}
		conn := s.http2(t, settings, big, http2Frame(http2Headers, 5, 1, "\x82\x86\x04\x08/healthz\x41\x01t"))
		if ended {
			if code := frameOfType(t, conn, http2GoAway)[7]; code != 6 { // FRAME_SIZE_ERROR
				t.Errorf("%d bytes: error %d", size, code)
			}
			continue
		}
		frameOfType(t, conn, http2Headers)
	}
}

// TestT17_Unread: who does not read what he asks for is cut off ten seconds after
// the kernel takes no more of it, also without a key.
func TestT17_Unread(t *testing.T) {
	t.Parallel()
	s := serve(t)
	conn, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	start := time.Now()
	await(t, "the end of the connection", func() bool { // a write fails when the service has closed it
		_ = conn.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
		_, err := io.WriteString(conn, strings.Repeat("GET /openapi.json HTTP/1.1\r\nHost: tether\r\n\r\n", 100))
		return err != nil && !errors.Is(err, os.ErrDeadlineExceeded)
	})
	if took := time.Since(start); took < schema.WriteTimeout-time.Second || took > 3*schema.WriteTimeout {
		t.Errorf("closed after %v", took)
	}
}

// TestT17_HTTP2Window: who lets no answer be sent to him holds it for ten
// seconds, also without a key.
func TestT17_HTTP2Window(t *testing.T) {
	t.Parallel()
	s := serve(t)
	noWindow := http2Frame(http2Settings, 0, 0, "\x00\x04\x00\x00\x00\x00")
	conn := s.http2(t, noWindow, http2Frame(http2Headers, 5, 1, "\x82\x86\x04\x08/healthz\x41\x01t"))
	start := time.Now()
	frameOfType(t, conn, http2Headers)
	frameOfType(t, conn, http2Reset)
	if took := time.Since(start); took < schema.WriteTimeout-time.Second || took > 2*schema.WriteTimeout {
		t.Errorf("reset after %v", took)
	}
}

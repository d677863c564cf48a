package device

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/edgetether/tether/rpc"
	"github.com/edgetether/tether/schema"
)

// T42: a server whose certificate nobody vouches for learns nothing; with its
// issuer among the roots it is the device's server.
func TestT42_Certificate(t *testing.T) {
	t.Parallel()
	logins := make(chan string, 1)
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		peer, err := rpc.Upgrade(w, r, rpc.Options{})
		if err != nil {
			return
		}
		peer.Serve(doneAtLogin{peer, logins})
	}))
	web.Config.ErrorLog = log.New(io.Discard, "", 0) // of the handshake that the device refuses
	web.StartTLS()
	defer web.Close()
	roots := x509.NewCertPool()
	roots.AddCert(web.Certificate())
	for _, trusted := range []bool{false, true} {
		cfg := Config{
			URL: "wss" + strings.TrimPrefix(web.URL, "https") + "/ws", DeviceID: "1", Password: "password",
			StateDir: t.TempDir(), MaxTries: 1,
		}
		if trusted {
			cfg.TLS = &tls.Config{RootCAs: roots}
		}
		d, err := New(cfg)
		must(t, err)
		err = d.Run(t.Context())
		if trusted && err != nil || !trusted && !errors.Is(err, ErrTries) {
			t.Errorf("trusted %v: Run returned %v", trusted, err)
		}
		if got := len(logins); (got == 1) != trusted {
			t.Errorf("trusted %v: %d logins", trusted, got)
		}
	}
}

type doneAtLogin struct {
	peer   *rpc.Peer
	logins chan<- string
}

func (h doneAtLogin) Late(uint64, rpc.Response) {}

func (h doneAtLogin) Request(r *rpc.Request) {
	h.logins <- r.Method
	h.peer.Close(schema.CloseDone, "")
}

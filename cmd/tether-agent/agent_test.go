package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgetether/tether/schema"
	"github.com/gorilla/websocket"
	"github.com/rs/zerolog"
)

// frame is any message of either side.
type frame struct {
	JSONRPC string          `json:"jsonrpc"`
	ID      any             `json:"id,omitempty"`
	Method  string          `json:"method,omitempty"`
	Params  any             `json:"params,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
}

// cloud is a server of one device: it answers what it must and gives orders.
type cloud struct {
	t       *testing.T
	conn    *websocket.Conn
	results chan schema.OrderResult
	mu      sync.Mutex // one writer at a time
}

// startCloud runs f against the first device that logs in.
func startCloud(t *testing.T, f func(*cloud)) (url string) {
	served := make(chan struct{}, 1)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer conn.Close()
		select {
		case served <- struct{}{}:
		default:
			return
		}
		c := &cloud{t: t, conn: conn, results: make(chan schema.OrderResult, 1)}
		ready, read := make(chan struct{}), make(chan struct{})
		go func() { defer close(read); c.read(ready) }()
		<-ready
		f(c)
		conn.Close()
		<-read
	}))
	t.Cleanup(s.Close)
	return "ws" + strings.TrimPrefix(s.URL, "http") + "/ws"
}

func (c *cloud) write(f frame) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f.JSONRPC = "2.0"
	c.conn.WriteJSON(f) // a failure shows itself as a result that does not come
}

func (c *cloud) read(ready chan<- struct{}) {
	for {
		var f frame
		if c.conn.ReadJSON(&f) != nil {
			return
		}
		switch {
		case f.Method == schema.MethodLogin:
			result, _ := json.Marshal(schema.LoginResult{
				DeviceID: "1", Token: "tt_x", TokenExpires: time.Now().Add(time.Hour).UnixMilli(), ServerTime: time.Now().UnixMilli(),
				Unsettled: []string{}, Heartbeat: schema.Heartbeat{PingIntervalMS: 5000, StatusIntervalMS: 15000, ReplyTimeoutMS: 3000, MaxFailures: 3},
			})
			c.write(frame{ID: f.ID, Result: result})
			close(ready)
		case f.Method != "":
			c.write(frame{ID: f.ID, Result: json.RawMessage(`{}`)})
		default:
			var r schema.OrderResult
			json.Unmarshal(f.Result, &r)
			c.results <- r
		}
	}
}

func (c *cloud) order(id int, name, params string) schema.OrderResult {
	c.write(frame{ID: id, Method: schema.MethodGiveOrder, Params: schema.GiveOrder{
		OrderID: fmt.Sprint(id), OrderType: name, DeviceID: "1", Params: json.RawMessage(params),
		Deadline: time.Now().Add(10 * time.Second).UnixMilli(),
	}})
	select {
	case r := <-c.results:
		return r
	case <-time.After(10 * time.Second):
		c.t.Errorf("order %s: no result", name)
		return schema.OrderResult{}
	}
}

// TestAgentCarriesOutOrders drives the whole program over a real socket.
func TestAgentCarriesOutOrders(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	url := startCloud(t, func(c *cloud) {
		defer cancel()
		for i, want := range []struct{ name, params, status, message, stdout string }{
			{"turn", `{"n":7}`, "success", "", `["7"]` + "\n"},
			{"turn", `{"n":10}`, "fail", "params.n: must be from 0 to 9", ""},
			{"turn", `{"n":"7; id"}`, "fail", "params.n: must be a whole number", ""},
			{"break", `{}`, "fail", "exit status 4: ", ""},
			{"rm", `{}`, "fail", "order not in config", ""},
		} {
			r := c.order(i+1, want.name, want.params)
			var data outcome
			if r.Data != nil && json.Unmarshal(r.Data, &data) != nil {
				t.Errorf("%s: data %s", want.name, r.Data)
			}
			if r.Status != want.status || !strings.HasPrefix(r.Message, want.message) || data.Stdout != want.stdout {
				t.Errorf("%s %s: %+v", want.name, want.params, r)
			}
		}
	})
	file := write(t, "agent.yaml", fmt.Sprintf(`
server: %s
device_id: "1"
password: canary-password
state_dir: %s
custom: {figure: {command: [%[3]q, child, say, "1"]}}
orders:
  turn: {command: [%[3]q, child, argv, "${n}"], args: {n: {type: int, max: 9}}}
  break: {command: [%[3]q, child, fail, "4"]}
`, url, t.TempDir(), self(t, "argv")[0]), 0o600)
	var stdout, stderr bytes.Buffer
	if code := run(ctx, []string{"-c", file, "--log-json", "--log-level=debug"}, nil, &stdout, &stderr); code != 0 {
		t.Errorf("code %d\n%s", code, &stderr)
	}
	for _, want := range []string{`"message":"starting"`, `login ok`, `"order refused"`, `"message":"ended"`} {
		if !strings.Contains(stderr.String(), want) {
			t.Errorf("the log has no %s:\n%s", want, &stderr)
		}
	}
	if strings.Contains(stderr.String(), "canary") {
		t.Error("the log shows a secret")
	}
}

func TestOptions(t *testing.T) {
	c, err := parseConfig([]byte("server: ws://x/\nsn: a\nmodel: b\nremote_dir: /r\nmax_tries: 3\n" +
		"orders: {slow: {command: [/bin/x], timeout: 2m}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	o, err := c.options(zerolog.Nop())
	if err != nil || o.SN != "a" || o.Model != "b" || o.MaxTries != 3 || o.RemoteDir != "/r" || o.OrderTimeout < 2*time.Minute || o.SFTP != nil || o.TLS != nil {
		t.Errorf("%+v, %v", o, err)
	}
	c.MaxTries = 0
	if o, err = c.options(zerolog.Nop()); err != nil || o.MaxTries >= 0 {
		t.Errorf("tries %d, %v", o.MaxTries, err)
	}
}

// With trust of its own the agent takes a server of that issuer.
func TestCAFile(t *testing.T) {
	s := httptest.NewTLSServer(http.NotFoundHandler())
	defer s.Close()
	cert := write(t, "ca.pem", pemOf(s.Certificate().Raw), 0o644)
	c := config{CAFile: cert}
	roots, err := c.roots()
	if err != nil || roots.RootCAs == nil || roots.InsecureSkipVerify {
		t.Fatalf("%+v, %v", roots, err)
	}
	client := http.Client{Transport: &http.Transport{TLSClientConfig: roots}}
	defer client.CloseIdleConnections()
	answer, err := client.Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	c.CAFile = "/no/such/file"
	if _, err := c.roots(); err == nil {
		t.Error("trusts a file that is not there")
	}
}

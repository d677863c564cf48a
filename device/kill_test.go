package device

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgetether/tether/rpc"
	"github.com/edgetether/tether/schema"
)

// The test binary runs itself anew as a device, to be killed.
const childURL = "TETHER_TEST_DEVICE_URL"

// work is how long the child's order takes.
const work = 3 * time.Millisecond

func exit(code int) { os.Exit(code) }

// child is that device. Its one order counts its runs in a file, durably and
// before anything else.
func child() (handled bool, code int) {
	url := os.Getenv(childURL)
	if url == "" {
		return false, 0
	}
	dir := os.Getenv("TETHER_TEST_DEVICE_DIR")
	d, err := New(Config{URL: url, DeviceID: deviceID, Password: "password", StateDir: dir})
	if err != nil {
		return true, 1
	}
	On(d, "once", func(context.Context, struct{}) (any, error) {
		f, err := os.OpenFile(filepath.Join(dir, "runs"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		if _, err := f.WriteString("x"); err != nil {
			return nil, err
		}
		time.Sleep(work) // the work itself, so that kills fall into it
		return nil, f.Sync()
	})
	if d.Run(context.Background()) != nil {
		return true, 1
	}
	return true, 0
}

// killer is a server that gives one order at every login and tells its results.
type killer struct {
	mu      sync.Mutex
	order   string
	given   chan struct{}
	results chan schema.OrderResult
}

func (k *killer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	peer, err := rpc.Upgrade(w, r, rpc.Options{})
	if err == nil {
		peer.Serve(&killing{k, peer})
	}
}

type killing struct {
	*killer
	peer *rpc.Peer
}

func (k *killing) Late(uint64, rpc.Response) {}

func (k *killing) Request(r *rpc.Request) {
	if r.Method != schema.MethodLogin {
		r.Reply(struct{}{})
		return
	}
	now := time.Now()
	r.Reply(schema.LoginResult{DeviceID: deviceID, Token: "tt_x", ServerTime: now.UnixMilli(), TokenExpires: now.UnixMilli()})
	k.mu.Lock()
	defer k.mu.Unlock()
	order := schema.GiveOrder{
		OrderID: k.order, OrderType: "once", DeviceID: deviceID, Params: schema.RawObject("{}"),
		Deadline: now.Add(time.Minute).UnixMilli(),
	}
	_, _ = k.peer.Call(schema.MethodGiveOrder, order, func(resp rpc.Response) { // the device may be dead already
		var result schema.OrderResult
		if rpc.Decode(resp.Result, &result) == nil {
			k.results <- result
		}
	})
	k.given <- struct{}{}
}

// spawn starts a device process on the state in dir.
func spawn(t *testing.T, url, dir string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), childURL+"="+url, "TETHER_TEST_DEVICE_DIR="+dir)
	cmd.Stderr = &bytes.Buffer{}
	must(t, cmd.Start())
	return cmd
}

// T43: a process is killed at a hundred points around an order. Given again to
// the next process, the order is never carried out a second time, and the
// answer is what is known of it.
func TestT43_KillAroundAnOrder(t *testing.T) {
	const lanes, rounds = 4, 25
	var mu sync.Mutex
	outcomes := map[string]int{}
	t.Cleanup(func() {
		// Not begun or ended, killed before the work, killed amid the work.
		for _, want := range []string{"done 1", "interrupted 1"} {
			if outcomes[want] == 0 {
				t.Errorf("no kill led to %q: %v", want, outcomes)
			}
		}
	})
	for lane := range lanes {
		t.Run(strconv.Itoa(lane), func(t *testing.T) {
			t.Parallel()
			k := &killer{given: make(chan struct{}, 1), results: make(chan schema.OrderResult, 2)}
			web := httptest.NewServer(k)
			t.Cleanup(web.Close)
			url := "ws" + strings.TrimPrefix(web.URL, "http") + "/ws"
			for i := range rounds {
				outcome := k.kill(t, url, i*lanes+lane)
				mu.Lock()
				outcomes[outcome]++
				mu.Unlock()
			}
		})
	}
}

// kill runs one round: the answer of the second process, and how often the
// order was carried out in all.
func (k *killer) kill(t *testing.T, url string, round int) string {
	t.Helper()
	dir := t.TempDir()
	k.mu.Lock()
	k.order = strconv.Itoa(round + 1)
	k.mu.Unlock()
	first := spawn(t, url, dir)
	<-k.given
	// Half of the points lie from before the order's arrival on, the others from
	// its work on, to after its end.
	if round%8 >= 4 {
		awaitRun(t, dir)
	}
	time.Sleep(time.Duration(round) * work / 50)
	must(t, first.Process.Kill())
	_ = first.Wait() // killed
	answered := len(k.results) > 0
	for len(k.results) > 0 {
		<-k.results
	}
	second := spawn(t, url, dir)
	<-k.given
	result := <-k.results
	must(t, second.Process.Kill())
	_ = second.Wait()
	runs, err := os.ReadFile(filepath.Join(dir, "runs"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	if len(runs) > 1 || result.Message == "done" && len(runs) != 1 {
		t.Fatalf("round %d: carried out %d times, answered %+v", round, len(runs), result)
	}
	if answered && result.Message != "done" {
		t.Fatalf("round %d: the answer was given and is now %+v", round, result)
	}
	if result.Message != "done" && result.Message != "interrupted" {
		t.Fatalf("round %d: answered %+v", round, result)
	}
	return fmt.Sprintf("%s %d", result.Message, len(runs))
}

// awaitRun waits until the order has counted its run.
func awaitRun(t *testing.T, dir string) {
	t.Helper()
	for until := time.Now().Add(10 * time.Second); time.Now().Before(until); time.Sleep(50 * time.Microsecond) {
		if info, err := os.Stat(filepath.Join(dir, "runs")); err == nil && info.Size() > 0 {
			return
		}
	}
	t.Fatal("the order was not begun")
}

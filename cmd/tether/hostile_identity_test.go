package main

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/edgetether/tether/schema"
)

// rowsOf lists every row of every table in which a text occurs.
func (w *world) rowsOf(t *testing.T, text string) (rows []string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+strings.TrimPrefix(w.config.database, "sqlite:")+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, table := range column(t, db, "SELECT name FROM sqlite_master WHERE type = 'table'") {
		for _, row := range column(t, db, fmt.Sprintf("SELECT json_array(%s) FROM %s", columnsOf(t, db, table), table)) {
			if strings.Contains(row, text) {
				rows = append(rows, table+" "+row)
			}
		}
	}
	slices.Sort(rows)
	return rows
}

// columnsOf lists the columns of a table, as text.
func columnsOf(t *testing.T, db *sql.DB, table string) string {
	names := column(t, db, "SELECT name FROM pragma_table_info('"+table+"')")
	for i, n := range names {
		names[i] = `CAST("` + n + `" AS TEXT)`
	}
	return strings.Join(names, ", ")
}

func column(t *testing.T, db *sql.DB, query string) (values []string) {
	t.Helper()
	rows, err := db.Query(query)
	if err != nil {
		t.Fatal(query, err)
	}
	defer rows.Close()
	for rows.Next() {
		var v string
		if err := rows.Scan(&v); err != nil {
			t.Fatal(err)
		}
		values = append(values, v)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return values
}

// calls are all methods of both directions, each with params that are right
// for the device, and one that there is not.
func calls(d credentials) map[string]string {
	return map[string]string{
		schema.MethodLogin:          fmt.Sprintf(`{"device_id":%q,"password":%q}`, d.id, d.password),
		schema.MethodPing:           `{}`,
		schema.MethodUploadStatus:   fmt.Sprintf(`{"device_id":%q,"CPU_info":{"user_cpu_time":1},"Memory_info":{},"Disk_info":{}}`, d.id),
		schema.MethodUploadResult:   `{"order_id":"1","status":"success","message":"forged","data":{}}`,
		schema.MethodDiscover:       `{}`,
		schema.MethodGiveOrder:      fmt.Sprintf(`{"order_id":"1","order_type":"restart","is_inner":true,"device_id":%q,"params":{},"deadline_time":1}`, d.id),
		schema.MethodRestartConfirm: `{"order_id":"1"}`,
		schema.MethodDeviceUpdate:   fmt.Sprintf(`{"device_id":%q,"device_name":"forged"}`, d.id),
		"rpc.anything":              `{}`,
	}
}

// state is where a connection can be, how it gets there, and what each method
// is answered there. What is not named is answered as "" is.
type state struct {
	name     string
	begin    func(w *world, t *testing.T, d credentials) *bare
	request  map[string][]string // the last is the close, if there is one
	notified []string            // what is seen of a notification
}

var states = []state{
	{"before the login", func(w *world, t *testing.T, _ credentials) *bare { return w.upgraded(t) }, map[string][]string{
		schema.MethodDiscover: {"ok 1"},
		schema.MethodLogin:    {"ok 1"},
		"":                    {"-32002 1", "close 4400"},
	}, []string{"close 4400"}},
	{"logged in", func(w *world, t *testing.T, d credentials) *bare { return w.loggedIn(t, d) }, map[string][]string{
		schema.MethodDiscover:     {"ok 1"},
		schema.MethodLogin:        {"-32003 1"},
		schema.MethodPing:         {"ok 1"},
		schema.MethodUploadStatus: {"ok 1"},
		schema.MethodUploadResult: {"-32602 1"}, // no order of this device
		"":                        {"-32601 1"},
	}, nil},
	{"refused", func(w *world, t *testing.T, d credentials) *bare {
		c := w.upgraded(t)
		c.text(credentials{d.id, "tp_wrong"}.login())
		c.sees(`-32001 "login"`)
		return c
	}, map[string][]string{"": {"close 4401"}}, []string{"close 4401"}},
	{"taken over", func(w *world, t *testing.T, d credentials) *bare {
		c := w.loggedIn(t, d)
		w.loggedIn(t, d).alive()
		return c
	}, map[string][]string{"": {"close 4409"}}, []string{"close 4409"}},
}

// TestT1_EveryMethodInEveryState: before the login only a login and
// rpc.discover are answered, and nothing else leaves a trace; afterwards no
// method is answered by a connection that the service has given up.
func TestT1_EveryMethodInEveryState(t *testing.T) {
	besideControl(t, func(w *world) {
		var all sync.WaitGroup
		defer all.Wait()
		for n, state := range states {
			for method := range calls(credentials{}) {
				d := w.register(fmt.Sprint("state-", n, "-", method)) // one that is refused often is slowed
				params := calls(d)[method]
				want, ok := state.request[method]
				if !ok {
					want = state.request[""]
				}
				request := fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":%q,"params":%s}`, method, params)
				notification := fmt.Sprintf(`{"jsonrpc":"2.0","method":%q,"params":%s}`, method, params)
				answered := n == 0 && (method == schema.MethodLogin || method == schema.MethodDiscover)
				all.Go(func() {
					t.Run(state.name+"/"+method, func(t *testing.T) {
						before := w.rowsOf(t, d.id)
						if !answered {
							state.try(t, w, d, notification, state.notified)
						}
						state.try(t, w, d, request, want)
						if n == 0 && method != schema.MethodLogin {
							w.mustBeUntouched(t, d.id, before)
						}
					})
				})
			}
		}
	})
}

// try brings a connection into the state and sends a message.
func (s state) try(t *testing.T, w *world, d credentials, message string, want []string) {
	t.Helper()
	c := s.begin(w, t, d)
	c.text(message)
	c.mustEnd(want)
}

// mustEnd sees what is to be seen. If that is no close, the connection goes on.
func (c *bare) mustEnd(want []string) {
	c.t.Helper()
	c.sees(want...)
	if len(want) > 0 && strings.HasPrefix(want[len(want)-1], "close") {
		c.write(frame(bitFin|opClose, closing(1000, "")))
		c.sees("gone")
		return
	}
	c.text(`{"jsonrpc":"2.0","id":2,"method":"rpc.discover"}`)
	c.sees("ok 2")
	c.leave()
}

func (w *world) mustBeUntouched(t *testing.T, text string, before []string) {
	t.Helper()
	if after := w.rowsOf(t, text); !slices.Equal(before, after) {
		t.Errorf("the rows were\n%s\nand are\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
	}
}

// TestT13_NothingOfAnotherDevice: whatever a device says, in whatever method
// and with whatever of another device's ids in it, no row of the other changes.
func TestT13_NothingOfAnotherDevice(t *testing.T) {
	besideControl(t, func(w *world) {
		me, other := w.register("me"), w.register("other")
		orderID := w.leaveOrder(t, other)
		before := w.rowsOf(t, other.id)
		if len(before) < 5 || len(w.rowsOf(t, orderID)) == 0 {
			t.Fatalf("the other device has only %q", before)
		}
		seed := rand.Uint64()
		t.Log("seed ", seed)
		random := rand.New(rand.NewPCG(seed, 0))
		for range 8 { // connections: on one of them so many messages would be a flood
			c := w.loggedIn(t, me)
			for id := range 90 {
				c.text(forged(random, id, other, orderID))
			}
			for range 90 {
				if got := c.see(); got == "gone" || strings.HasPrefix(got, "close") {
					t.Fatal(got)
				}
			}
			c.alive()
			c.leave()
		}
		w.mustBeUntouched(t, other.id, before)
	})
}

// leaveOrder leaves a device offline, with an order of which nobody knows the outcome.
func (w *world) leaveOrder(t *testing.T, d credentials) (orderID string) {
	c := w.loggedIn(t, d)
	c.text(reportMessage)
	c.sees("ok 7")
	outcome := c.given("{}")
	c.called(schema.MethodGiveOrder)
	c.leave()
	c.lost(<-outcome)
	for _, row := range w.rowsOf(t, d.id) {
		if table, rest, _ := strings.Cut(row, " "); table == "orders" {
			orderID = strings.Split(rest, `"`)[1]
		}
	}
	await(t, "a line of the log", func() bool { return len(w.ended(d.id)) > 0 })
	return orderID
}

// forged is a request of any method, with ids of the other device where its own
// belong and where none do.
func forged(random *rand.Rand, id int, other credentials, orderID string) string {
	templates := calls(other)
	methods := []string{}
	for m := range templates {
		methods = append(methods, m)
	}
	slices.Sort(methods)
	method := methods[random.IntN(len(methods))]
	params := templates[methods[random.IntN(len(methods))]]
	if random.IntN(3) > 0 {
		params = templates[method]
	}
	params = strings.ReplaceAll(params, `"order_id":"1"`, fmt.Sprintf(`"order_id":%q`, orderID))
	extra := []string{"", fmt.Sprintf(`"device_id":%q`, other.id), fmt.Sprintf(`"DEVICE_ID":%q`, other.id), fmt.Sprintf(`"order_id":%q`, orderID),
		fmt.Sprintf(`"device":{"device_id":%q}`, other.id), `"device_sn":"SN-other","device_model":"M"`, fmt.Sprintf(`"custom":{"device_id":%q}`, other.id)}
	if more := extra[random.IntN(len(extra))]; more != "" && params != "{}" {
		params = params[:len(params)-1] + "," + more + "}"
	}
	envelope := ""
	if random.IntN(4) == 0 {
		envelope = fmt.Sprintf(`,"device_id":%q`, other.id)
	}
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":%q,"params":%s%s}`, id, method, params, envelope)
}

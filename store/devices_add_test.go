package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/edgetether/tether/schema"
)

func newDevices(ids ...string) []schema.NewDevice {
	var list []schema.NewDevice
	for _, id := range ids {
		list = append(list, schema.NewDevice{Device: device(id), PasswordHash: "sha256:" + id})
	}
	return list
}

// addAll adds devices and shows their answers.
func addAll(t testing.TB, s *Store, devices []schema.NewDevice) string {
	t.Helper()
	answers, err := s.AddDevices(t.Context(), devices, "key:test")
	must(t, err)
	text := ""
	for _, err := range answers {
		code := "ok "
		if err != nil {
			code = schema.Public(err).Code + " "
		}
		text += code
	}
	return text
}

func TestAddDevices_EachHasItsAnswer(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		addDevice(t, s, "1")
		again := newDevices("4")
		again[0].DeviceID = "5" // the hardware of 4
		list := append(newDevices("1", "2", "2", "3", "4"), again...)
		equal(t, "answers", addAll(t, s, list), "device_exists ok device_exists ok ok device_exists ")
		for _, id := range []string{"1", "2", "3", "4"} {
			equal(t, "log of "+id, kinds(log(t, s, id)), "update ")
		}
		_, err := s.Device(t.Context(), all, "5")
		wantKind(t, err, schema.DeviceNotFound, "")
		c, err := s.Credential(t.Context(), schema.LoginParams{DeviceID: "3"}, start)
		must(t, err)
		equal(t, "password", c.Password, "sha256:3")
		equal(t, "again", addAll(t, s, newDevices("2", "3")), "device_exists device_exists ")
	})
}

func TestAddDevices_NoneAndMany(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		equal(t, "none", addAll(t, s, nil), "")
		var ids []string
		for i := range 3*maxRows + 1 {
			ids = append(ids, fmt.Sprint(i))
		}
		answers, err := s.AddDevices(t.Context(), newDevices(ids...), "key:test")
		must(t, errors.Join(append(answers, err)...))
		equal(t, "answers", len(answers), len(ids))
		l, err := s.ListDevices(t.Context(), all, schema.DeviceFilter{}, schema.Page{Limit: 1000})
		must(t, err)
		equal(t, "devices", len(l.Items), len(ids))
	})
}

// One that the database cannot take spoils only itself.
func TestAddDevices_BadRow(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		_, err := write(t.Context(), s, func(t *tx) (int64, error) { // in the way of the event of device 2
			return t.exec(`INSERT INTO events (device_id, seq, pos, at, kind, outcome, actor, detail)
			VALUES ('2', 1, 1000, 0, 'k', '', '', '{}')`)
		})
		must(t, err)
		list := newDevices("1", "2", "3")
		equal(t, "answers", addAll(t, s, list), "ok internal ok ")
		if answers, err := s.AddDevices(t.Context(), list[1:2], "key:test"); err == nil {
			t.Fatal("added: ", answers)
		}
	})
}

func TestAddDevices_Unavailable(t *testing.T) {
	each(t, func(t *testing.T) {
		s, away, back := openAway(t)
		away()
		_, err := s.AddDevices(t.Context(), newDevices("1", "2"), "key:test")
		wantKind(t, err, schema.StoreUnavailable, "")
		back()
		equal(t, "afterwards", addAll(t, s, newDevices("1", "2")), "ok ok ")
	})
}

// openAway is open of a database that can be taken away from the writer.
func openAway(t *testing.T) (s *Store, away, back func()) {
	if engineOf(t) == "sqlite" {
		s, f := openFlaky(t, flakyPath(t), Options{})
		t.Cleanup(func() { must(t, s.Close()) })
		return s, func() { fail(&f.commit, context.DeadlineExceeded) }, func() { f.commit.Store(nil) }
	}
	direct, _ := postgresURL(t)
	p, through := newProxy(t, direct)
	s = openURL(t, through, Options{})
	return s, func() { p.away.Store(true); p.cutAll() }, func() { p.away.Store(false); awaitReady(t, s) }
}

func TestRegistered(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		var ids []string
		var asked []schema.Hardware
		for i := range 3*maxRows + 1 {
			ids = append(ids, fmt.Sprint(i))
			h := device(fmt.Sprint(i)).Hardware
			asked = append(asked, h, schema.Hardware{SN: h.SN, Model: "other"}, h)
		}
		must(t, errors.Join(func() []error {
			answers, err := s.AddDevices(t.Context(), newDevices(ids...), "key:test")
			return append(answers, err)
		}()...))
		for _, n := range []int{0, 1, 3*maxRows - 1, 3 * maxRows, len(asked)} {
			there, err := s.Registered(t.Context(), asked[:n])
			must(t, err)
			equal(t, "answers", len(there), n)
			for i, known := range there {
				equal(t, fmt.Sprint(asked[i]), known, i%3 != 1)
			}
		}
	})
}

func TestRegistered_Unavailable(t *testing.T) {
	direct, _ := postgresURL(t)
	p, through := newProxy(t, direct)
	s := openURL(t, through, Options{})
	p.away.Store(true)
	p.cutAll()
	_, err := s.Registered(t.Context(), []schema.Hardware{{SN: "1", Model: "M"}})
	wantKind(t, err, schema.StoreUnavailable, "")
}

// It finds its rows by the index, and reads no others.
func TestRegistered_Plan(t *testing.T) {
	s := openURL(t, sqliteURL(t), Options{})
	text, args := values("EXPLAIN QUERY PLAN "+registered, ")", [][]any{{"a", "b"}, {"c", "d"}})
	rows, err := s.engine.read.QueryContext(t.Context(), text, args...)
	steps, err := collect(rows, err, func(r scanner) (step string, err error) {
		var ignored int
		return step, r.Scan(&ignored, &ignored, &ignored, &step)
	})
	must(t, err)
	if len(steps) == 0 || !strings.Contains(steps[0], "SEARCH devices USING COVERING INDEX") {
		t.Errorf("%q", steps)
	}
}

// Two who add the same devices at once: each of them is added once.
func TestAddDevices_TwoAtOnce(t *testing.T) {
	each(t, func(t *testing.T) {
		s := open(t, Options{})
		var ids []string
		for i := range 100 {
			ids = append(ids, fmt.Sprint(i))
		}
		added := make(chan int)
		for range 2 {
			go func() {
				n := 0
				for i := 0; i < len(ids); i += 10 {
					answers, err := s.AddDevices(t.Context(), newDevices(ids[i:i+10]...), "key:test")
					if err != nil {
						t.Error(err)
					}
					for _, err := range answers {
						if err == nil {
							n++
						}
					}
				}
				added <- n
			}()
		}
		equal(t, "added", <-added+<-added, len(ids))
	})
}

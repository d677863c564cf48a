package store

import (
	"context"
	"errors"
	"fmt"
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
	s, f := openFlaky(t, flakyPath(t), Options{})
	fail(&f.commit, context.DeadlineExceeded)
	_, err := s.AddDevices(t.Context(), newDevices("1", "2"), "key:test")
	wantKind(t, err, schema.StoreUnavailable, "")
	f.commit.Store(nil)
	equal(t, "afterwards", addAll(t, s, newDevices("1", "2")), "ok ok ")
	must(t, s.Close())
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

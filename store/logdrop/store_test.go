package logdrop

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/edgetether/tether/schema"
	"github.com/edgetether/tether/store"
)

// TestT33_QuotaInTheStore has the records where they are kept in earnest.
func TestT33_QuotaInTheStore(t *testing.T) {
	dir := t.TempDir()
	db, err := store.Open(t.Context(), "sqlite:"+filepath.Join(dir, "x.db"), store.Options{Migrate: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	device := schema.Device{DeviceID: "1860", Name: "press", Hardware: schema.Hardware{SN: "s", Model: "m"}, Enabled: true}
	if err := db.AddDevice(t.Context(), device, "sha256:x", "key:test"); err != nil {
		t.Fatal(err)
	}
	r, err := Open(Options{Dir: filepath.Join(dir, "logs"), KeepPerDevice: 2, Rows: db})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.announce(l.Addr()); err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- r.Serve(l) }()
	s := &server{Receiver: r, t: t, dir: filepath.Join(dir, "logs")}
	for i := range 4 {
		order := fmt.Sprintf("%d", i)
		if err := dial(t, s.issue(order, "1860")).put("/x", []byte(order)); err != nil {
			t.Fatal(err)
		}
		if err := s.Complete(t.Context(), order, dataOf([]byte(order)), time.UnixMilli(int64(1000+i))); err != nil {
			t.Fatal(err)
		}
	}
	s.wantNames("1860/2.log", "1860/3.log")
	list, err := db.ListLogFiles(t.Context(), schema.Everything, "1860", schema.Page{Limit: 10})
	if err != nil || len(list.Items) != 2 || list.Items[0].OrderID != "3" {
		t.Errorf("%+v, %v", list, err)
	}
	for _, f := range list.Items {
		s.wantFile(f.OrderID, f.DeviceID, []byte(f.OrderID))
	}
	if _, err := db.LogFile(context.Background(), schema.Everything, "0"); !errors.Is(err, schema.ErrFileNotFound) {
		t.Errorf("the row of a file that is gone: %v", err)
	}
	if err := errors.Join(r.Close(), <-served); err != nil {
		t.Error(err)
	}
}

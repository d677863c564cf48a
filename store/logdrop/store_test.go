package logdrop

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/edgetether/tether/schema"
	"github.com/edgetether/tether/store"
)

// startInStore has the records where they are kept in earnest, of device 1860.
func startInStore(t *testing.T, o Options) (*server, *store.Store) {
	t.Helper()
	dir := t.TempDir()
	db, err := store.Open(t.Context(), "sqlite:"+filepath.Join(dir, "x.db"), store.Options{Migrate: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	device := schema.Device{DeviceID: "1860", Name: "press", Hardware: schema.Hardware{SN: "s", Model: "m"}, Enabled: true}
	if err := db.AddDevice(t.Context(), device, "sha256:x", "key:test"); err != nil {
		t.Fatal(err)
	}
	o.Rows = db
	return start(t, o), db
}

func TestT33_QuotaInTheStore(t *testing.T) {
	s, db := startInStore(t, Options{KeepPerDevice: 2})
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
}

// The files of a device that was deleted are gone with the next sweep.
func TestSweep_DeletedDevice(t *testing.T) {
	s, db := startInStore(t, Options{})
	s.upload("1", "1860", []byte("x"))
	later := time.Now().Add(orphanAge + time.Minute)
	if err := s.sweep(later); err != nil {
		t.Fatal(err)
	}
	s.wantNames("1860/1.log")
	if err := db.DeleteDevice(t.Context(), schema.Everything, "1860", "key:test", 0); err != nil {
		t.Fatal(err)
	}
	if err := s.sweep(later); err != nil {
		t.Fatal(err)
	}
	s.wantNames()
}

package main

import (
	"context"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgetether/tether/schema"
	"github.com/edgetether/tether/store"
)

// TestIDsAreUnique makes more ids than there are in a millisecond, from many
// goroutines.
func TestIDsAreUnique(t *testing.T) {
	made, err := newIDs(1)
	if err != nil {
		t.Fatal(err)
	}
	const callers, each = 8, 3 * perInstant
	var all sync.WaitGroup
	lists := make([][]string, callers)
	for i := range lists {
		all.Go(func() {
			for range each {
				lists[i] = append(lists[i], made.next())
			}
		})
	}
	all.Wait()
	seen := make(map[string]bool, callers*each)
	for _, list := range lists {
		for _, id := range list {
			if seen[id] {
				t.Fatalf("%s twice", id)
			}
			seen[id] = true
		}
	}
}

// TestF22_ClockSetBack: a store that has records of the future makes a start
// wait for them, or refuse.
func TestF22_ClockSetBack(t *testing.T) {
	for _, tc := range []struct {
		ahead   time.Duration
		refused bool
	}{
		{300 * time.Millisecond, false},
		{time.Hour, true},
	} {
		st, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "t.db"), store.Options{Migrate: true})
		if err != nil {
			t.Fatal(err)
		}
		newest := time.Now().Add(tc.ahead).UnixMilli()
		g := schema.Group{GroupID: "1", Name: "g", CreatedTime: newest, UpdatedTime: newest}
		if err := st.AddGroup(t.Context(), g); err != nil {
			t.Fatal(err)
		}
		_, err = snowflakes(context.Background(), st, 1)
		if refused := err != nil && strings.Contains(err.Error(), "set it right"); refused != tc.refused {
			t.Errorf("%v ahead: %v", tc.ahead, err)
		}
		if now := time.Now().UnixMilli(); !tc.refused && now <= newest {
			t.Errorf("ids are made at %d, and there are records of %d", now, newest)
		}
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

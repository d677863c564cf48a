package store

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/edgetether/tether/schema"
	"github.com/edgetether/tether/store/pgtest"
)

// findingsOf checks a database.
func findingsOf(t *testing.T, url string) string {
	t.Helper()
	findings, err := Check(t.Context(), url)
	must(t, err)
	return strings.Join(findings, "\n")
}

func TestCheck_NothingWrong(t *testing.T) {
	each(t, func(t *testing.T) {
		url := newDatabase(t)
		s := livedAt(t, url)
		equal(t, "findings", findingsOf(t, url), "")
		addDevice(t, s, "4") // it goes on
		empty := newDatabase(t)
		must(t, openAt(t, empty, Options{}).Close())
		equal(t, "findings in an empty one", findingsOf(t, empty), "")
	})
}

func TestCheck_NeedsADatabase(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing.db")
	for _, url := range []string{"sqlite:" + missing, "postgres:///x?host=" + filepath.Dir(missing), ""} {
		if can, err := ChecksIndexes(t.Context(), url); err == nil {
			t.Errorf("%q: %v", url, can)
		}
		if _, err := Check(t.Context(), url); err == nil {
			t.Errorf("%q: checked", url)
		}
		if Backup(t.Context(), url, missing+".copy") == nil {
			t.Errorf("%q: copied", url)
		}
	}
	if names, _ := filepath.Glob(filepath.Dir(missing) + "/*"); len(names) != 0 {
		t.Errorf("made %v", names)
	}
}

// bare makes a table anew, without what an engine is told to see to in it.
func bare(table string) string {
	return "ALTER TABLE " + table + " RENAME TO old; CREATE TABLE " + table + " AS SELECT * FROM old; DROP TABLE old; "
}

// Each invariant can fail, on every engine, and is told in words. What a database is
// done to is so much as does not hide one another.
func TestCheck_EachInvariant(t *testing.T) {
	each(t, func(t *testing.T) {
		for _, damage := range []map[string]string{{
			"DELETE FROM events WHERE device_id = '1' AND seq = 3":                             "device 1: of its events 1 to 7 some are missing",
			"UPDATE events SET kind = 'connect' WHERE device_id = '1' AND kind = 'disconnect'": "device 1: events 2 and 4 are both connect or both disconnect",
			"UPDATE event_seq SET seq = 9 WHERE device_id = '3'":                               "device 3: its last event is 1, and its counter stands at 9",
			"UPDATE counters SET value = 99 WHERE name = 'pos'":                                "counter pos: the last event is at 14, and it stands at 99",
			"UPDATE devices SET state = 'Offline' WHERE device_id = '1'":                       "device 1: its state is none that there is; it is of node 7, epoch 2",
			bare("relations") + "UPDATE relations SET group_id = 'h'":                          "device 1: it is in a group, and of devices 1 and of groups 0 are there",
			"UPDATE orders SET state = 'lost', ended_time = 1":                                 "order o1: its state is none that there is; it was made at ",
			"UPDATE jobs SET state = 'lost'":                                                   "job j: its state is none that there is, or not that of a job which ended at 0",
			"DELETE FROM job_devices WHERE place = 2":                                          "job j: it is for 2 devices, and 1 are there",
			"UPDATE nodes SET incarnation = 7":                                                 "node n: it is of incarnation 7, and the counter stands at 1",
		}, {
			"UPDATE events SET pos = 1000 WHERE pos = 14":                           "device 2: its event at 1000 comes after the one at 13",
			"DELETE FROM event_seq WHERE device_id = '3'":                           "device 3: its last event is 1, and its counter stands at 0",
			"DELETE FROM counters WHERE name = 'pos'":                               "counter pos: the last event is at 1000, and it stands at 0",
			"UPDATE devices SET state = 'offline' WHERE device_id = '1'":            "device 1: its state is not what event 5 says, of epoch 2",
			"UPDATE devices SET told_version = 3 WHERE device_id = '3'":             "device 3: it was told of change 3, and the last is 0",
			"DROP INDEX orders_sent; UPDATE orders SET device_id = '1'":             "device 1: 2 orders are under way, and 1 may be",
			bare("nodes") + "INSERT INTO nodes SELECT 'm', number, 1, 1 FROM nodes": "node m: its number is 0, and 2 nodes have it",
		}, {
			bare("events") + "UPDATE events SET pos = 13 WHERE pos = 14; UPDATE events SET seq = 3 WHERE device_id = '1' AND seq = 4": "device 2: its event at 13 comes after the one at 13",
			bare("relations") + "DELETE FROM devices WHERE device_id = '1'":                                                           "device 1: it is in a group, and of devices 0 and of groups 1 are there",
			"UPDATE orders SET state = 'succeeded'":                                                                                   "order o1: it has ended or has not, and its times say otherwise; it was made at ",
			"SELECT 1":                                                                                                                "device 1: event 3 is the one before as well", // of what was done to seq
		}, {
			bare("relations") + bare("devices") + "UPDATE devices SET sn = 'x', model = 'y'": "device 1: 2 devices have its sn and model, and 1 may",
			"UPDATE events SET pos = 1000 WHERE device_id = '1' AND seq = 2":                 "device 1: event 3 is the one before as well, or is at ",
			"UPDATE jobs SET ended_time = 5":                                                 "job j: its state is none that there is, or not that of a job which ended at 5",
			"UPDATE orders SET job_id = 'j' WHERE order_id = 'o1'":                           "job j: it ended at 5, and 1 of its orders have not",
			"UPDATE job_devices SET order_id = 'o2' WHERE place = 2":                         "job j: the device at place 2 has no order, as its row says, and 1 is there",
			"UPDATE orders SET ended_time = 5":                                               "and ended at 5",
		}} {
			url := newDatabase(t)
			s := livedAt(t, url)
			for text := range damage {
				for _, part := range strings.Split(text, "; ") {
					_, err := s.engine.write.ExecContext(t.Context(), part)
					must(t, err)
				}
			}
			found := findingsOf(t, url)
			for text, want := range damage {
				if !strings.Contains(found, want) {
					t.Errorf("%s: not found in\n%s", text, found)
				}
			}
		}
	})
}

// SQLite's own look at what refers to something is asked as well.
func TestCheck_SQLiteReferences(t *testing.T) {
	path, s := lived(t)
	_, err := s.engine.write.ExecContext(t.Context(), "PRAGMA foreign_keys = 0; DELETE FROM group_info")
	must(t, err)
	if found := findingsOf(t, "sqlite:"+path); !strings.Contains(found, "relations: row 1 refers to nothing in group_info") {
		t.Error(found)
	}
}

// A page of PostgreSQL that is not what was written is found, and so is an
// index that does not have every row, where amcheck may be used. What else is wrong is
// found all the same.
func TestCheck_PostgresDamage(t *testing.T) {
	server, err := pgtest.Start()
	must(t, err)
	defer func() { must(t, server.Close()) }()
	url, err := server.Schema(t.Context())
	must(t, err)
	s := livedAt(t, url)
	file := func(relation string) (path string) {
		must(t, s.engine.read.QueryRowContext(t.Context(),
			"SELECT current_setting('data_directory') || '/' || pg_relation_filepath(to_regclass($1))", relation).Scan(&path))
		return path
	}
	keys, hardware := file("api_keys"), file("devices_sn_model_key")
	must(t, s.AddKey(t.Context(), schema.Key{KeyID: "k", Role: schema.Admin}, "sha256:k"))
	_, err = s.engine.write.ExecContext(t.Context(), "UPDATE event_seq SET seq = 9 WHERE device_id = '3'")
	must(t, err)
	can, err := ChecksIndexes(t.Context(), url)
	must(t, err)
	equal(t, "indexes", can, false)

	must(t, server.Stop())
	overwrite(t, keys, 0, strings.Repeat("x", 100))
	overwrite(t, hardware, 8192+24, strings.Repeat("\x00", 8192-24-16)) // its first leaf, emptied
	must(t, server.Resume())
	awaitReady(t, s)
	found := findingsOf(t, url)
	if !strings.Contains(found, "invalid page in block 0 of relation") || !strings.Contains(found, "its counter stands at 9") ||
		strings.Contains(found, "devices_sn_model_key") {
		t.Error(found)
	}
	must(t, server.Exec(t.Context(), "CREATE EXTENSION amcheck"))
	can, err = ChecksIndexes(t.Context(), url)
	must(t, err)
	equal(t, "indexes", can, true)
	if found := findingsOf(t, url); !strings.Contains(found, "devices_sn_model_key") || !strings.Contains(found, "its counter stands at 9") {
		t.Error(found)
	}
}

func overwrite(t *testing.T, path string, at int64, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteAt([]byte(text), at)
	must(t, err)
	must(t, f.Close())
}

package northapi_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/edgetether/tether/schema"
)

// TestStatusHistory: reports newest first, as they were kept or averaged, a
// page at a time.
func TestStatusHistory(t *testing.T) {
	w := newWorld(t)
	begin := present / 60_000 * 60_000
	for i := range int64(4) {
		free := float64(100 * i)
		w.store.Sample(schema.Sample{DeviceID: ownDevice, Time: begin + i*30_000, Status: schema.StatusInfo{
			CPU: &schema.CPUInfo{}, Memory: &schema.MemoryInfo{Free: &free}, Disk: &schema.DiskInfo{}, Custom: schema.RawObject(`{"n":1}`),
		}})
	}
	w.must(w.store.AddGroup(t.Context(), schema.Group{GroupID: "777", Name: "what waits for the samples"}))
	const path = "device_statusInfo_history/" + ownDevice
	for query, want := range map[string]string{
		"?limit=1":            fmt.Sprintf(`{"time":%d,"samples":1,"report":{"CPU_info":{},"Memory_info":{"free_memory_mb":300},"Disk_info":{},"custom":{"n":1}}}`, begin+90_000),
		"?limit=1&step=60000": fmt.Sprintf(`{"time":%d,"samples":2,"report":{"CPU_info":{},"Memory_info":{"free_memory_mb":250},"Disk_info":{}}}`, begin+60_000),
		fmt.Sprintf("?step=60000&since=%d&until=%d", begin, begin+60_000): fmt.Sprintf(
			`{"time":%d,"samples":2,"report":{"CPU_info":{},"Memory_info":{"free_memory_mb":50},"Disk_info":{}}}`, begin),
	} {
		list := into[struct {
			Items      []json.RawMessage `json:"items"`
			NextCursor string            `json:"next_cursor"`
		}](t, w.do("viewer", get, path+query, "").want(t, 200, ""))
		if len(list.Items) != 1 || string(list.Items[0]) != want {
			t.Errorf("%s: %s, want %s", query, list.Items, want)
		}
	}
	first := into[schema.List[schema.HistoryPoint]](t, w.do("viewer", get, path+"?limit=3", ""))
	last := into[schema.List[schema.HistoryPoint]](t, w.do("viewer", get, path+"?limit=3&cursor="+first.NextCursor, ""))
	if len(first.Items) != 3 || len(last.Items) != 1 || last.NextCursor != "" || last.Items[0].Time != begin {
		t.Errorf("pages %+v %+v", first, last)
	}
}

func TestStatusHistory_Bounds(t *testing.T) {
	w := newWorld(t)
	const path = "device_statusInfo_history/" + ownDevice
	most := int64(schema.MaxHistoryStep / time.Millisecond)
	for query, good := range map[string]bool{
		"?step=999": false, "?step=1000": true, fmt.Sprint("?step=", most): true, fmt.Sprint("?step=", most+1): false,
		"?step=0": false, "?step=1m": false, "?limit=1000": true, "?limit=1001": false,
		"?since=5&until=5": true, "?since=5&until=4": false, "?since=-1": false, "?kind=login": false,
	} {
		if good {
			w.do("viewer", get, path+query, "").want(t, 200, "")
		} else {
			w.do("viewer", get, path+query, "").want(t, 400, "invalid_member")
		}
	}
	w.do("viewer", get, "device_statusInfo_history/"+missing, "").want(t, 404, "device_not_found")
}

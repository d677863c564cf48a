package northapi

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"time"

	"github.com/edgetether/tether/schema"
)

type eventList struct {
	filter schema.EventFilter
	page   schema.Page
}

func (q *eventList) bind(p *params) {
	q.filter = schema.EventFilter{
		DeviceID: p.id("device_id"),
		Since:    p.time("since"),
		Until:    p.time("until"),
		Kind:     schema.EventKind(p.text("kind", schema.MaxType)),
	}
	if k := q.filter.Kind; k != "" && !k.Valid() {
		p.refuse(schema.InvalidMember("kind", "must be a kind of event"))
	}
	if until := q.filter.Until; until != 0 && until < q.filter.Since {
		p.refuse(schema.InvalidMember("until", "must not be before since"))
	}
	q.page = p.page()
}

func (a *api) deviceLogQuery(ctx context.Context, who caller, q eventList) (schema.List[schema.Event], error) {
	return a.Records.ListEvents(ctx, who.scope, q.filter, q.page)
}

func (a *api) logFileQuery(ctx context.Context, who caller, q devicePage) (schema.List[schema.LogFile], error) {
	return a.Records.ListLogFiles(ctx, who.scope, q.id, q.page)
}

// file is the one answer that is bytes and not an envelope.
type file struct {
	record schema.LogFile
	bytes  io.ReadSeekCloser
}

func (a *api) logFile(ctx context.Context, who caller, q orderID) (file, error) {
	record, err := a.Records.LogFile(ctx, who.scope, q.id)
	if err != nil {
		return file{}, err
	}
	bytes, err := a.Files.OpenLog(record)
	if errors.Is(err, fs.ErrNotExist) {
		return file{}, schema.ErrFileNotFound // retention came between
	}
	return file{record, bytes}, err
}

// noFiles is the Files of a server that receives no logs. It may have records
// of some, of a time when it did.
type noFiles struct{}

// OpenLog finds none.
func (noFiles) OpenLog(schema.LogFile) (io.ReadSeekCloser, error) { return nil, fs.ErrNotExist }

// serve writes the file, or the part of it that is asked for. What is in it a
// device wrote: no browser may take it for anything to show or run.
func (f file) serve(w http.ResponseWriter, r *http.Request) {
	defer f.bytes.Close()
	name := f.record.DeviceID + "-" + f.record.OrderID + ".log"
	h := w.Header()
	guard(h)
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": name}))
	h.Set("ETag", `"`+f.record.SHA256+`"`)
	http.ServeContent(w, r, name, time.UnixMilli(f.record.CreatedTime), f.bytes)
}

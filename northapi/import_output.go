package northapi

import (
	"bufio"
	"cmp"
	"io"
	"net/http"
	"time"

	"github.com/edgetether/tether/schema"
)

// Lines of an import's answer.
type (
	// importGood is a line that was added, or in a dry run could be.
	importGood struct {
		Line     int64           `json:"line"`
		Hardware schema.Hardware `json:"hardware"`
		DeviceID string          `json:"device_id,omitzero"`
		Password string          `json:"password,omitzero"`
	}
	// importBad is a line that changed nothing.
	importBad struct {
		Line    int64  `json:"line"`
		Type    string `json:"type"`
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	// importCounts are of the lines that were answered.
	importCounts struct {
		Lines  int64 `json:"lines"`
		Added  int64 `json:"added"`
		Failed int64 `json:"failed"`
	}
	// importEnd is the last line. Without done, the import ended before its
	// file, and code and message say why.
	importEnd struct {
		Done   bool `json:"done"`
		DryRun bool `json:"dry_run"`
		importCounts
		Code    string `json:"code,omitzero"`
		Message string `json:"message,omitzero"`
	}
)

// importOutput writes lines while the request's body is still being read.
type importOutput struct {
	rc  *http.ResponseController
	to  *bufio.Writer
	err error // the first; there is nobody to write to after it
}

// newImportOutput begins the answer.
func newImportOutput(w http.ResponseWriter) *importOutput {
	rc := http.NewResponseController(w)
	_ = rc.EnableFullDuplex() // without a connection below, as in a test, nothing needs it
	h := w.Header()
	guard(h)
	h.Set("Content-Type", "application/x-ndjson")
	w.WriteHeader(http.StatusOK)
	return &importOutput{rc: rc, to: bufio.NewWriter(w)}
}

// line answers one line of the file.
func (o *importOutput) line(a *api, l *imported, dry bool) {
	if l.err != nil {
		e := a.shown("device_import", l.err)
		o.write(a, importBad{l.line, forms[e.Kind].word, e.Code, e.Message})
		return
	}
	good := importGood{Line: l.line, Hardware: l.device.Hardware}
	if !dry {
		good.DeviceID, good.Password = l.device.DeviceID, l.password
	}
	o.write(a, good)
}

// finish writes the last line; err is why the import ended before its file.
func (o *importOutput) finish(a *api, err error, counts importCounts, dry bool) {
	end := importEnd{Done: err == nil, DryRun: dry, importCounts: counts}
	if err != nil {
		e := a.shown("device_import", err)
		end.Code, end.Message = e.Code, e.Message
	}
	o.write(a, end)
	_ = o.flush() // or the caller is gone
}

func (o *importOutput) write(a *api, v any) {
	body, err := encode(v)
	if err == nil && o.err == nil {
		o.to.Write(append(body, '\n')) // its error is flush's
	} else if err != nil {
		a.Log("device_import", err)
	}
}

// flush sends what was written. Between pieces there is no deadline: on HTTP/2
// it would end the stream when it passes.
func (o *importOutput) flush() error {
	if o.err != nil {
		return o.err
	}
	err := cmp.Or(o.to.Flush(), o.rc.Flush())
	if err != nil {
		o.err = errNotTaken // the deadline stays: net/http must not wait for the caller either
		return o.err
	}
	_ = o.rc.SetWriteDeadline(time.Time{})
	return nil
}

// limitStall bounds the time that each piece of a body of any length takes.
func limitStall(w http.ResponseWriter, r *http.Request) io.ReadCloser {
	return stallBody{r.Body, http.NewResponseController(w)}
}

type stallBody struct {
	io.ReadCloser
	rc *http.ResponseController
}

// Read gives the next piece its time.
func (b stallBody) Read(p []byte) (int, error) {
	_ = b.rc.SetReadDeadline(time.Now().Add(importStall))
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		_ = b.rc.SetReadDeadline(time.Time{})
	}
	return n, err
}

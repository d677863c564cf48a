package northapi

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"time"

	"github.com/edgetether/tether/schema"
)

// How much an import gathers for one change of the store: the memory that it
// takes, and how long the answer to a line may wait for that of a later one.
const (
	importLines = 256
	importBytes = 1 << 20
	importWait  = time.Second
)

// importStall is how long the next piece of the body may take to come, and
// the next piece of the answer to be taken.
const importStall = time.Minute

// importing is an import on its way: the one answer that is written while its
// request is still being read.
type importing struct {
	api     *api
	who     caller
	request *http.Request
	checked time.Time // when its key was looked at
	lines   *lineReader
	decode  lineDecoder
	dry     bool

	out    *importOutput
	batch  []*imported
	bytes  int       // of the batch's lines
	since  time.Time // when the batch's first line was decoded
	seen   fingerprints
	counts importCounts
}

// imported is one line on its way.
type imported struct {
	line     int64
	device   schema.NewDevice
	password string
	err      error
}

// importQuery is the query string of an import.
type importQuery struct{ dry bool }

func (q *importQuery) bind(p *params) {
	text, given := p.take("dry_run")
	if q.dry = text == "true"; given && !q.dry && text != "false" {
		p.refuse(schema.InvalidMember("dry_run", "must be true or false"))
	}
}

// deviceImport reads what comes before the first device: all that can be
// refused as a whole is refused here.
func (a *api) deviceImport(who caller, r *http.Request) (reply, error) {
	var q importQuery
	if err := decodeParams(r, q.bind); err != nil {
		return reply{}, err
	}
	if r.Header.Get("Idempotency-Key") != "" {
		return reply{}, errOnce
	}
	m := &importing{api: a, who: who, request: r, checked: a.Now(), lines: newLineReader(r.Body), dry: q.dry}
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case err == nil && media == "application/x-ndjson":
		m.decode = decodeJSONLine
	case err == nil && media == "text/csv":
		m.decode, err = csvHeader(m.lines)
	default:
		err = schema.InvalidMember("Content-Type", "must be application/x-ndjson or text/csv")
	}
	return reply{status: http.StatusOK, data: m}, err
}

// serve carries the import out. Lines are answered in their order, as soon as
// what they ask for is durable.
func (m *importing) serve(w http.ResponseWriter, r *http.Request) {
	m.out = newImportOutput(w)
	m.out.finish(m.api, m.run(r.Context()), m.counts, m.dry)
}

// run ends without error if all lines have their answer.
func (m *importing) run(ctx context.Context) (err error) {
	defer caught(&err)
	for {
		text, err := m.lines.next()
		if err == io.EOF {
			return m.flush(ctx)
		}
		if err != nil && !errors.Is(err, errLongLine) {
			return errBodyCut // what came whole was flushed before: see full
		}
		m.take(ctx, text, err)
		if m.full() {
			if err := m.flush(ctx); err != nil {
				return err
			}
		}
	}
}

// full says whether the batch should wait for no further line.
func (m *importing) full() bool {
	return len(m.batch) >= importLines || m.bytes >= importBytes ||
		!m.lines.ready() || m.api.Now().Sub(m.since) >= importWait
}

// take adds a line to the batch, with err if it is not one.
func (m *importing) take(ctx context.Context, text []byte, err error) {
	if len(m.batch) == 0 {
		m.since = m.api.Now()
	}
	line := &imported{line: m.lines.number, err: err}
	m.batch = append(m.batch, line)
	m.bytes += len(text)
	if err != nil {
		return
	}
	q, err := m.decode(text)
	if err == nil {
		err = q.check()
	}
	if err != nil {
		line.err = err
		return
	}
	line.device.Device = q.device()
	if !m.dry {
		line.password, line.device.PasswordHash, line.err = m.api.password(ctx, q.Password)
	}
}

// flush carries the batch out and answers its lines.
func (m *importing) flush(ctx context.Context) error {
	if err := m.settle(ctx); err != nil {
		return err
	}
	for _, line := range m.batch {
		m.counts.Lines++
		if line.err != nil {
			m.counts.Failed++
		} else if !m.dry {
			m.counts.Added++
		}
		m.out.line(m.api, line, m.dry)
	}
	clear(m.batch)
	m.batch, m.bytes = m.batch[:0], 0
	return m.out.flush()
}

// settle gives the good lines of the batch to the store.
func (m *importing) settle(ctx context.Context) error {
	if m.api.Draining() {
		return errImportDrained
	}
	if ctx.Err() != nil { // nobody would get the passwords
		return errBodyCut
	}
	if err := m.checkKey(); err != nil {
		return err
	}
	if m.dry {
		return m.look(ctx)
	}
	var good []*imported
	var devices []schema.NewDevice
	for _, line := range m.batch {
		if line.err == nil {
			line.device.DeviceID = m.api.NewID()
			line.device.CreatedTime = m.api.millis()
			line.device.UpdatedTime = line.device.CreatedTime
			good, devices = append(good, line), append(devices, line.device)
		}
	}
	if len(devices) == 0 {
		return nil
	}
	// Who leaves now does not undo it: the commit may be under way.
	answers, err := m.api.Devices.AddDevices(carriedThrough(ctx), devices, m.who.by)
	for i, line := range good[:len(answers)] {
		line.err = answers[i]
	}
	return err
}

// checkKey is due now and then: a file may take hours, and a key that is revoked is
// good for nothing from then on.
func (m *importing) checkKey() error {
	if m.api.Now().Sub(m.checked) < keyCheck {
		return nil
	}
	m.checked = m.api.Now()
	return m.api.stillGood(m.request)
}

// look finds what the good lines of the batch would meet, and changes nothing.
func (m *importing) look(ctx context.Context) error {
	var good []*imported
	var hardware []schema.Hardware
	for _, line := range m.batch {
		switch {
		case line.err != nil:
		case m.seen.again(line.device.Hardware):
			line.err = errTwiceInFile
		default:
			good, hardware = append(good, line), append(hardware, line.device.Hardware)
		}
	}
	if len(good) == 0 {
		return nil
	}
	there, err := m.api.Devices.Registered(ctx, hardware)
	for i, known := range there {
		if known {
			good[i].err = errDeviceThere
		}
	}
	return err
}

// Errors of lines and of the stream.
var (
	errBodyCut       = schema.Errorf(schema.Invalid, "body_cut", "body: ended before its end, or did not go on in time")
	errNotTaken      = schema.Errorf(schema.Invalid, "answer_not_taken", "the answer must be read while the body is sent")
	errImportDrained = schema.Errorf(schema.Draining, "draining", "the server is stopping; import the rest again later")
	errLongLine      = schema.Errorf(schema.TooLarge, "line_too_large", "line: must be at most %d bytes", schema.MaxImportLine)
	errDeviceThere   = schema.Errorf(schema.DeviceConflict, "device_exists", "hardware: a device with this sn and model is there already")
	errTwiceInFile   = schema.Errorf(schema.DeviceConflict, "device_exists", "hardware: an earlier line has this sn and model")
)

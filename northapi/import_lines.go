package northapi

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"hash/maphash"
	"io"
	"strings"

	"github.com/edgetether/tether/schema"
	"github.com/go-json-experiment/json"
)

// lineReader cuts a stream into lines, in the memory of the longest that is
// allowed. A line that is longer costs only itself.
type lineReader struct {
	from   *bufio.Reader
	number int64 // of the line that next returned, from 1
}

// newLineReader reads lines of from, which may begin with a byte order mark.
func newLineReader(from io.Reader) *lineReader {
	return &lineReader{from: bufio.NewReaderSize(from, schema.MaxImportLine+len("\r\n"))}
}

// next is the next line that is not empty, without its end; it is good until
// the next call. errLongLine stands for one that is too long. io.EOF is the
// end; any other error is a stream that broke, and what came of its last line
// is not to be had.
func (l *lineReader) next() ([]byte, error) {
	for {
		text, err := l.from.ReadSlice('\n')
		if err == io.EOF && len(text) > 0 {
			err = nil // the last line needs no end
		}
		if err != nil && err != bufio.ErrBufferFull {
			return nil, err
		}
		l.number++
		if err == bufio.ErrBufferFull {
			return nil, l.skip()
		}
		text = bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r"))
		if l.number == 1 {
			text = bytes.TrimPrefix(text, []byte("\ufeff"))
		}
		if len(text) > schema.MaxImportLine {
			return nil, errLongLine
		}
		if len(bytes.TrimSpace(text)) > 0 {
			return text, nil
		}
	}
}

// skip reads the rest of a long line away.
func (l *lineReader) skip() error {
	for {
		switch _, err := l.from.ReadSlice('\n'); err {
		case bufio.ErrBufferFull:
		case nil, io.EOF:
			return errLongLine
		default:
			return err
		}
	}
}

// ready says whether there is a next line without waiting for it.
func (l *lineReader) ready() bool {
	waiting, _ := l.from.Peek(l.from.Buffered()) // which is there
	return bytes.IndexByte(waiting, '\n') >= 0
}

// lineDecoder reads one line as the body of device_add.
type lineDecoder func(text []byte) (deviceAdd, error)

// decodeJSONLine is as strict as decodeBody.
func decodeJSONLine(text []byte) (q deviceAdd, err error) {
	err = explain(json.Unmarshal(text, &q, json.RejectUnknownMembers(true)))
	return q, err
}

// columns are the members of device_add as CSV has them. An empty cell is a
// member that is left out.
var columns = map[string]func(q *deviceAdd, cell string) error{
	"device_name":                   cell(func(q *deviceAdd) *string { return &q.Name }),
	"device_type":                   cell(func(q *deviceAdd) *string { return &q.Type }),
	"dev_description":               cell(func(q *deviceAdd) *string { return &q.Description }),
	"hardware.sn":                   cell(func(q *deviceAdd) *string { return &q.Hardware.SN }),
	"hardware.model":                cell(func(q *deviceAdd) *string { return &q.Hardware.Model }),
	"software.version":              cell(func(q *deviceAdd) *string { return &made(&q.Software).Version }),
	"software.last_update":          cell(func(q *deviceAdd) *string { return &made(&q.Software).LastUpdate }),
	"software.status":               cell(func(q *deviceAdd) *string { return &made(&q.Software).Status }),
	"business_software.version":     cell(func(q *deviceAdd) *string { return &made(&q.BusinessSoftware).Version }),
	"business_software.last_update": cell(func(q *deviceAdd) *string { return &made(&q.BusinessSoftware).LastUpdate }),
	"business_software.status":      cell(func(q *deviceAdd) *string { return &made(&q.BusinessSoftware).Status }),
	"nic":                           nicCell,
	"enabled":                       enabledCell,
	"password": func(q *deviceAdd, text string) error {
		*made(&q.Password) = secret(text)
		return nil
	},
}

// cell sets a member that is text.
func cell(member func(*deviceAdd) *string) func(*deviceAdd, string) error {
	return func(q *deviceAdd, text string) error {
		*member(q) = text
		return nil
	}
}

// made is what *p points to, made if need be.
func made[T any](p **T) *T {
	if *p == nil {
		*p = new(T)
	}
	return *p
}

func enabledCell(q *deviceAdd, text string) error {
	if text != "true" && text != "false" {
		return schema.InvalidMember("enabled", "must be true or false")
	}
	*made(&q.Enabled) = text == "true"
	return nil
}

// nicCell holds the array as JSON: it is the one member that a table has no form for.
func nicCell(q *deviceAdd, text string) error {
	if json.Unmarshal([]byte(text), &q.NIC, json.RejectUnknownMembers(true)) != nil {
		return schema.InvalidMember("nic", "must be a JSON array of interfaces")
	}
	return nil
}

// csvHeader reads the names of the columns, and makes the decoder of the lines
// that follow.
func csvHeader(lines *lineReader) (lineDecoder, error) {
	text, err := lines.next()
	if err != nil {
		return nil, schema.InvalidMember("body", "must begin with the names of its columns, in a line of at most %d bytes", schema.MaxImportLine)
	}
	names, err := csvFields(text)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, name := range names {
		switch {
		case columns[name] == nil:
			return nil, schema.InvalidMember(clip(name), "unknown column")
		case seen[name]:
			return nil, schema.InvalidMember(name, "is given twice")
		}
		seen[name] = true
	}
	return func(text []byte) (deviceAdd, error) { return decodeCSVLine(names, text) }, nil
}

func decodeCSVLine(names []string, text []byte) (q deviceAdd, err error) {
	cells, err := csvFields(text)
	if err != nil {
		return q, err
	}
	if len(cells) != len(names) {
		return q, schema.Errorf(schema.Invalid, "malformed_csv", "line: has %d cells, the first line %d", len(cells), len(names))
	}
	for i, text := range cells {
		if text == "" {
			continue
		}
		if err := columns[names[i]](&q, text); err != nil {
			return q, err
		}
	}
	return q, nil
}

// csvFields splits one line. A cell cannot hold the end of a line: no member
// of a device may, and so a number of a line is where it is in the file.
func csvFields(text []byte) ([]string, error) {
	fields, err := csv.NewReader(strings.NewReader(string(text))).Read()
	if err != nil {
		return nil, schema.Errorf(schema.Invalid, "malformed_csv", "line: malformed CSV: a quote is missing, or is where none may be")
	}
	return fields, nil
}

// maxFingerprints bounds what a dry run remembers of the lines before.
const maxFingerprints = 1 << 20

// fingerprints are of the pairs that a dry run has seen: 64 bits each, so that two
// pairs of a full set are taken for one another once in 30 million runs.
type fingerprints struct {
	seed maphash.Seed
	set  map[uint64]struct{}
}

// again says whether h was given before, and remembers it while there is room.
func (f *fingerprints) again(h schema.Hardware) bool {
	if f.set == nil {
		f.seed, f.set = maphash.MakeSeed(), map[uint64]struct{}{}
	}
	sum := maphash.Comparable(f.seed, h)
	if _, known := f.set[sum]; known {
		return true
	}
	if len(f.set) < maxFingerprints {
		f.set[sum] = struct{}{}
	}
	return false
}

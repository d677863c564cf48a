package device

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"slices"
	"sync"

	"github.com/go-json-experiment/json"

	"github.com/edgetether/tether/schema"
)

const (
	journalKeep  = schema.MaxUnsettled // orders remembered: as many as a server asks for
	journalLines = 4 * journalKeep     // lines before the file is written anew
)

// interrupted is the result of an order that was begun by a process that died.
var interrupted = schema.OrderResult{Status: schema.ResultFail, Message: "interrupted"}

// journal remembers which orders were begun and how they ended, through a kill
// and a power loss: that is what keeps an order from being carried out twice.
//
// The file holds one line for each beginning and each result, appended and
// synced, in the form "crc32 json". What a crash tore is recognised by the sum.
type journal struct {
	path string

	disk   sync.Mutex // held across writes; taken before mu
	file   *os.File   // nil before it could be written
	lines  int
	broken bool // the last append failed: the file's tail cannot be trusted

	mu      sync.Mutex // never held across a write: lookups do not wait for the disk
	ids     []string   // in order of beginning
	results map[string]*schema.OrderResult
}

// record is one line: a beginning, or with Result an end.
type record struct {
	OrderID string              `json:"order_id"`
	Result  *schema.OrderResult `json:"result,omitzero"`
}

// openJournal reads what earlier processes left. What they had begun and not
// ended is settled here, once and for all, as interrupted. An error beside a
// journal says that the disk takes nothing: no order is begun until it does.
func openJournal(path string) (*journal, error) {
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	j := &journal{path: path, results: map[string]*schema.OrderResult{}}
	for _, r := range parseJournal(data) {
		j.apply(r)
	}
	for _, id := range j.ids {
		if j.results[id] == nil {
			j.results[id] = &interrupted
		}
	}
	j.trim()
	return j, j.rewrite()
}

// lookup returns what is known of an order; nil with known: it is begun.
func (j *journal) lookup(id string) (result *schema.OrderResult, known bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	result, known = j.results[id]
	return result, known
}

// begin records that an order is about to be carried out. When it returns nil
// the fact is on the disk; otherwise the order must not be begun.
func (j *journal) begin(id string) error {
	r := record{OrderID: id}
	j.disk.Lock()
	defer j.disk.Unlock()
	if err := j.append(r); err != nil {
		return err
	}
	j.apply(r)
	return nil
}

// end records an order's result. It is remembered even where the disk fails:
// the error tells that it would not survive the process.
func (j *journal) end(id string, result schema.OrderResult) error {
	r := record{OrderID: id, Result: &result}
	j.disk.Lock()
	defer j.disk.Unlock()
	j.apply(r)
	j.trim()
	return j.append(r)
}

func (j *journal) close() error {
	j.disk.Lock()
	defer j.disk.Unlock()
	if j.file == nil {
		return nil
	}
	return j.file.Close()
}

// apply brings a record into memory. The first result of an order stays.
func (j *journal) apply(r record) {
	j.mu.Lock()
	defer j.mu.Unlock()
	result, known := j.results[r.OrderID]
	if !known {
		j.ids = append(j.ids, r.OrderID)
	}
	if result == nil {
		j.results[r.OrderID] = r.Result
	}
}

// trim forgets the oldest orders that have ended.
func (j *journal) trim() {
	j.mu.Lock()
	defer j.mu.Unlock()
	excess := len(j.ids) - journalKeep
	j.ids = slices.DeleteFunc(j.ids, func(id string) bool {
		if excess <= 0 || j.results[id] == nil {
			return false
		}
		excess--
		delete(j.results, id)
		return true
	})
}

// append writes one line and syncs it. A file whose last append failed, or
// that has grown, is written anew first.
func (j *journal) append(r record) error {
	if j.broken || j.file == nil || j.lines >= journalLines {
		if err := j.rewrite(); err != nil {
			return err
		}
	}
	line, err := encodeRecord(r)
	if err != nil {
		return err
	}
	j.broken = true
	if _, err := j.file.Write(line); err != nil {
		return err
	}
	if err := j.file.Sync(); err != nil {
		return err
	}
	j.broken = false
	j.lines++
	return nil
}

// rewrite replaces the file by what memory holds and opens it for appending.
func (j *journal) rewrite() error {
	data, lines, err := j.encode()
	if err != nil {
		return err
	}
	if err := replaceFile(j.path, data); err != nil {
		return err
	}
	file, err := os.OpenFile(j.path, os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	if j.file != nil {
		_ = j.file.Close() // replaced, and every line of it was synced
	}
	j.file, j.lines, j.broken = file, lines, false
	return nil
}

// encode is the file's shortest form.
func (j *journal) encode() (data []byte, lines int, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, id := range j.ids {
		line, err := encodeRecord(record{OrderID: id, Result: j.results[id]})
		if err != nil {
			return nil, 0, err
		}
		data = append(data, line...)
	}
	return data, len(j.ids), nil
}

func encodeRecord(r record) ([]byte, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, "%08x %s\n", crc32.ChecksumIEEE(body), body), nil
}

// parseJournal reads the lines whose sum is right. A torn tail is what a crash
// in the midst of an append leaves.
func parseJournal(data []byte) (records []record) {
	for len(data) > 0 {
		line, rest, ended := bytes.Cut(data, []byte("\n"))
		data = rest
		if r, ok := parseRecord(line); ok && ended {
			records = append(records, r)
		}
	}
	return records
}

func parseRecord(line []byte) (r record, ok bool) {
	sum, body, found := bytes.Cut(line, []byte(" "))
	if !found || string(sum) != fmt.Sprintf("%08x", crc32.ChecksumIEEE(body)) {
		return record{}, false
	}
	err := json.Unmarshal(body, &r, json.RejectUnknownMembers(true))
	return r, err == nil && r.OrderID != ""
}

package client

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/edgetether/tether/schema"
)

// ImportOptions say how a file of devices is to be read. The zero value is
// NDJSON, and registers.
type ImportOptions struct {
	CSV    bool
	DryRun bool // only look what would be refused
}

// ImportLine answers one line of the file: one with a Code was refused and
// changed nothing; in a dry run there is no id and no password.
type ImportLine struct {
	Line     int64           `json:"line"`
	Hardware schema.Hardware `json:"hardware,omitzero"`
	DeviceID string          `json:"device_id,omitzero"`
	Password string          `json:"password,omitzero"`
	Type     string          `json:"type,omitzero"`
	Code     string          `json:"code,omitzero"`
	Message  string          `json:"message,omitzero"`
}

// ImportEnd counts the lines that were answered.
type ImportEnd struct {
	DryRun bool  `json:"dry_run"`
	Lines  int64 `json:"lines"`
	Added  int64 `json:"added"`
	Failed int64 `json:"failed"`
}

// DeviceImport sends a file of devices, and has each line of the answer taken
// while it is sent. An error says that the import did not come to its end: what
// was taken until then counts, and the file may be imported again, since what is
// registered is refused. An error of take ends it.
func (c *Client) DeviceImport(ctx context.Context, file io.Reader, o ImportOptions, take func(ImportLine) error) (ImportEnd, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	resp, err := c.upload(ctx, file, o)
	if err != nil {
		return ImportEnd{}, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		_, err := dataOf(resp)
		return ImportEnd{}, err
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, maxMessage)
	for lines.Scan() {
		end, last, err := answered(lines.Bytes(), take)
		if last || err != nil {
			return end, err
		}
	}
	if err := lines.Err(); err != nil {
		return ImportEnd{}, fmt.Errorf("the answer broke off: %w", err)
	}
	return ImportEnd{}, fmt.Errorf("the answer ended before its last line")
}

// upload sends the file, once the service has said that it takes it.
func (c *Client) upload(ctx context.Context, file io.Reader, o ImportOptions) (*http.Response, error) {
	q := request{method: http.MethodPost, service: "device_import"}
	if o.DryRun {
		q.query = map[string][]string{"dry_run": {"true"}}
	}
	req, err := c.request(ctx, q)
	if err != nil {
		return nil, err
	}
	req.Body, req.ContentLength = io.NopCloser(file), -1
	media := "application/x-ndjson"
	if o.CSV {
		media = "text/csv"
	}
	req.Header.Set("Content-Type", media)
	req.Header.Set("Expect", "100-continue")
	return c.http.Do(req)
}

// answered takes one line of the answer. The last one has done.
func answered(text []byte, take func(ImportLine) error) (end ImportEnd, last bool, err error) {
	var a struct {
		ImportLine
		Done *bool `json:"done"`
	}
	if err := json.Unmarshal(text, &a); err != nil {
		return end, false, fmt.Errorf("the answer cannot be read: %w", err)
	}
	if a.Done == nil {
		return end, false, take(a.ImportLine)
	}
	if err := json.Unmarshal(text, &end); err != nil {
		return end, true, fmt.Errorf("the answer cannot be read: %w", err)
	}
	if !*a.Done {
		err = fmt.Errorf("stopped after %d lines: %w", end.Lines, &schema.Error{Kind: stopped(a.Code), Code: a.Code, Message: a.Message})
	}
	return end, true, err
}

// stopped is the kind of what ended an import, of which the answer has the code alone.
func stopped(code string) schema.Kind {
	switch code {
	case schema.ErrDraining.Code:
		return schema.Draining
	case schema.ErrStoreUnavailable.Code:
		return schema.StoreUnavailable
	case "internal":
		return schema.Internal
	}
	return schema.Invalid
}

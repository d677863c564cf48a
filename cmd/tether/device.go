package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/edgetether/tether/northapi"
	"github.com/edgetether/tether/schema"
)

type deviceCmd struct {
	Import deviceImportCmd `cmd:"" help:"Register the devices of a file."`
}

type deviceImportCmd struct {
	File   string `arg:"" help:"NDJSON or CSV, one device a line; - is standard input."`
	URL    string `default:"http://127.0.0.1:9090" help:"The service."`
	Key    string `help:"An API key, role admin. Better as TETHER_KEY: other users can see a command line."`
	DryRun bool   `help:"Only look what would be refused; nothing is registered."`
	Format string `default:"auto" enum:"auto,ndjson,csv" help:"ndjson or csv; auto goes by the file's name."`
}

// Help is printed below the flags.
func (c *deviceImportCmd) Help() string {
	return `A line of NDJSON is what device_add takes. CSV begins with the names of its columns: device_name,
hardware.sn, hardware.model, and if need be device_type, dev_description, enabled, password, nic (as JSON),
software.version, software.last_update, software.status and the same of business_software.

Registered devices go to standard output, with their passwords, which are not to be had again. Lines that
are refused go to standard error and change nothing; the others are registered all the same. Importing a file
again is safe: what is there is refused as device_exists. The exit code is 1 if any line was refused.

Leave passwords out, and the server makes them: that is fast. One that the file gives is hashed with
bcrypt, as device_add does it, one at a time: about four a second, so that devices never wait for it.

Examples:
  tether device import devices.csv > registered.ndjson
  tether device import --dry-run devices.ndjson
  tether device import --url https://tether.example.com --format csv - < devices.csv`
}

// Run is the command.
func (c *deviceImportCmd) Run(ctx context.Context, s streams) error {
	file, size, err := openInput(c.File)
	if err != nil {
		return err
	}
	defer file.Close()
	show := newProgress(s.out, s.err, isTerminal(s.err), size)
	sent := &counter{from: file}
	end, err := c.send(ctx, sent, func(text []byte) error { return show.line(text, sent.count()) })
	show.clear()
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("interrupted; %s", again)
	case err != nil:
		return err
	case !end.Done:
		return fmt.Errorf("stopped after %d lines: %s: %s; %s", end.Lines, end.Code, end.Message, again)
	}
	done := "registered"
	if c.DryRun {
		done = "could be registered"
	}
	fmt.Fprintf(s.err, "%d of %d lines %s\n", end.Lines-end.Failed, end.Lines, done)
	if end.Failed > 0 {
		return fmt.Errorf("%d lines were refused", end.Failed)
	}
	return nil
}

// again tells what to do about an import that did not come to its end.
const again = "import the file again: what is registered is refused, and nothing is registered twice"

// openInput opens the file, and says how large it is; 0: nobody knows.
func openInput(name string) (io.ReadCloser, int64, error) {
	if name == "-" {
		return os.Stdin, 0, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, info.Size(), nil
}

// media is the content type of the file.
func (c *deviceImportCmd) media() (string, error) {
	format := c.Format
	if format == "auto" {
		format = strings.TrimPrefix(strings.ToLower(filepath.Ext(c.File)), ".")
	}
	switch format {
	case "csv":
		return "text/csv", nil
	case "ndjson", "jsonl", "json":
		return "application/x-ndjson", nil
	}
	return "", fmt.Errorf("%s: say --format ndjson or --format csv: the name does not tell", c.File)
}

// importAnswer is a line of the answer; Done is set in the last one.
type importAnswer struct {
	Line    int64
	Code    string
	Message string
	Done    *bool
}

// importEnd is the answer's last line.
type importEnd struct {
	Done          bool
	Lines, Failed int64
	Code, Message string
}

// send sends the file and has each line of the answer taken, while it is sent.
func (c *deviceImportCmd) send(ctx context.Context, file io.Reader, take func([]byte) error) (end importEnd, err error) {
	// A refusal comes before the file is sent. A proxy that keeps its word for
	// itself gets the file after a while.
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.ExpectContinueTimeout = 5 * time.Second
	defer transport.CloseIdleConnections()
	return c.sendBy(ctx, transport, file, take)
}

// sendBy is send over a transport.
func (c *deviceImportCmd) sendBy(ctx context.Context, transport http.RoundTripper, file io.Reader, take func([]byte) error) (end importEnd, err error) {
	req, err := c.request(ctx, file)
	if err != nil {
		return end, err
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return end, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return end, refusalOf(resp)
	}
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if bytes.HasPrefix(lines.Bytes(), []byte(`{"done":`)) {
			return end, json.Unmarshal(lines.Bytes(), &end)
		}
		if err := take(lines.Bytes()); err != nil {
			return end, err
		}
	}
	if err := lines.Err(); err != nil {
		return end, fmt.Errorf("the answer broke off: %w; %s", err, again)
	}
	return end, fmt.Errorf("the answer ended before its last line; %s", again)
}

func (c *deviceImportCmd) request(ctx context.Context, file io.Reader) (*http.Request, error) {
	media, err := c.media()
	if err != nil {
		return nil, err
	}
	address := strings.TrimSuffix(c.URL, "/") + northapi.Base + "/device_import"
	if c.DryRun {
		address += "?dry_run=true"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, io.NopCloser(file))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", media)
	req.Header.Set("Expect", "100-continue")
	if c.Key != "" {
		req.Header.Set("Authorization", "Bearer "+c.Key)
	}
	return req, nil
}

// refusalOf is the error that an answer other than 200 tells.
func refusalOf(resp *http.Response) error {
	raw, err := io.ReadAll(io.LimitReader(resp.Body, schema.MaxBody))
	if err != nil {
		return err
	}
	var a answer
	if json.Unmarshal(raw, &a) != nil || a.Code == "" {
		return fmt.Errorf("%s answers %s: is it a tether service?", resp.Request.URL.Host, resp.Status)
	}
	return &failure{a.Code, a.Message}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/edgetether/tether/northapi/client"
)

type deviceImportCmd struct {
	connection
	File   string `arg:"" help:"NDJSON or CSV, one device a line; - is standard input."`
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
func (c *deviceImportCmd) Run(ctx context.Context, a *asking) error {
	csv, err := c.isCSV()
	if err != nil {
		return err
	}
	file, size, err := openInput(c.File)
	if err != nil {
		return err
	}
	defer file.Close()
	show := newProgress(a.out, a.err, isTerminal(a.err), size)
	sent := &counter{from: file}
	end, err := a.DeviceImport(ctx, sent, client.ImportOptions{CSV: csv, DryRun: c.DryRun},
		func(l client.ImportLine) error { return show.line(l, sent.count()) })
	show.clear()
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("interrupted; %s", again)
	case err != nil && (show.lines > 0 || end.Lines > 0):
		return fmt.Errorf("%w; %s", err, again)
	case err != nil:
		return err
	}
	done := "registered"
	if c.DryRun {
		done = "could be registered"
	}
	fmt.Fprintf(a.err, "%d of %d lines %s\n", end.Lines-end.Failed, end.Lines, done)
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

// isCSV says what the file is.
func (c *deviceImportCmd) isCSV() (bool, error) {
	format := c.Format
	if format == "auto" {
		format = strings.TrimPrefix(strings.ToLower(filepath.Ext(c.File)), ".")
	}
	switch format {
	case "csv":
		return true, nil
	case "ndjson", "jsonl", "json":
		return false, nil
	}
	return false, fmt.Errorf("%s: say --format ndjson or --format csv: the name does not tell", c.File)
}

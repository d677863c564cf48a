package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/edgetether/tether/northapi/client"
	"github.com/edgetether/tether/schema"
)

// connection says which service a command asks, and as whom.
type connection struct {
	URL     string `default:"http://127.0.0.1:9090" help:"The service."`
	Key     string `help:"An API key. Better as TETHER_KEY or --key-file: other users can see a command line."`
	KeyFile string `placeholder:"FILE" help:"A file that holds the key."`
	CAFile  string `name:"ca-file" placeholder:"FILE" help:"Roots that the service's certificate must lead to, as PEM. Default: the system's."`
}

// remote are the flags that the commands have in common which ask a service.
type remote struct {
	connection
	JSON bool `name:"json" help:"Print JSON: the record, or a line for each of a list."`
}

// AfterApply hands the service to the command's Run.
func (c *connection) AfterApply(k *kong.Context) error {
	return k.BindToProvider(func(ctx context.Context, s streams) (*asking, error) { return c.ask(ctx, s, false) })
}

// AfterApply hands the service to the command's Run.
func (r *remote) AfterApply(k *kong.Context) error {
	return k.BindToProvider(func(ctx context.Context, s streams) (*asking, error) { return r.ask(ctx, s, r.JSON) })
}

// asking is a command that asks a service, and how it shows what it hears.
type asking struct {
	*client.Client
	streams
	json bool
}

func (c *connection) ask(ctx context.Context, s streams, json bool) (*asking, error) {
	key := c.Key
	if c.KeyFile != "" {
		if key != "" {
			return nil, wrong("--key (or TETHER_KEY) and --key-file are both given: leave one out")
		}
		text, err := readSecret("--key-file", c.KeyFile)
		if err != nil {
			return nil, err
		}
		key = text
	}
	asked, err := client.New(client.Options{URL: c.URL, Key: key, CAFile: c.CAFile})
	if err != nil {
		return nil, wrong("%w", err)
	}
	context.AfterFunc(ctx, asked.Close)
	return &asking{asked, s, json}, nil
}

// readSecret is the first line of a file.
func readSecret(flag, name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	line, err := bufio.NewReader(io.LimitReader(f, 4<<10)).ReadString('\n')
	if line = strings.TrimSpace(line); line == "" {
		return "", wrong("%s %s: the file's first line is empty (%w)", flag, name, cmp.Or(err, io.EOF))
	}
	return line, nil
}

// ended is an error with an exit code of its own; others are 1.
type ended struct {
	code int
	error
}

// Unwrap is the error itself.
func (e ended) Unwrap() error { return e.error }

// The exit codes.
const (
	codeFailed  = 1
	codeWrong   = 2 // a wrong call
	codeUnknown = 3 // an order or a job without an outcome, so far
)

// wrong is the error of a wrong call.
func wrong(format string, args ...any) error { return ended{codeWrong, fmt.Errorf(format, args...)} }

// codeOf is the exit code that an error is.
func codeOf(err error) int {
	var e ended
	if errors.As(err, &e) {
		return e.code
	}
	return codeFailed
}

// errInterrupted is that somebody, or a signal, has ended it.
var errInterrupted = errors.New("interrupted")

// explained adds to an error what to do about it.
func explained(err error) error {
	var lost *url.Error
	switch {
	case errors.Is(err, context.Canceled):
		return ended{codeOf(err), errInterrupted}
	case errors.As(err, &lost):
		host := lost.URL
		if u, bad := url.Parse(lost.URL); bad == nil {
			host = u.Scheme + "://" + u.Host
		}
		what := "is the service running there? --url or TETHER_URL says where it is"
		if strings.Contains(lost.Err.Error(), "certificate") {
			what = "--ca-file names the roots of a service whose issuer the system does not know"
		}
		return ended{codeOf(err), fmt.Errorf("%s cannot be reached: %w; %s", host, lost.Err, what)}
	case errors.Is(err, &schema.Error{Kind: schema.Unauthenticated}):
		return ended{codeOf(err), fmt.Errorf(`%w; give one as TETHER_KEY or by --key-file ("tether key add" makes one beside the database)`, err)}
	}
	return err
}

// device finds a device by its id, or by its whole name.
func (a *asking) device(ctx context.Context, arg string) (string, error) {
	if schema.CheckID("", arg) == nil {
		return arg, nil
	}
	var found []string
	for d, err := range a.Devices(ctx, schema.DeviceFilter{Name: arg}) {
		if err != nil {
			return "", err
		}
		if d.Name == arg {
			found = append(found, d.DeviceID)
		}
	}
	return only("device", arg, found)
}

// group finds a group by its id, or by its name.
func (a *asking) group(ctx context.Context, arg string) (string, error) {
	if schema.CheckID("", arg) == nil {
		return arg, nil
	}
	var found []string
	for g, err := range a.Groups(ctx) {
		if err != nil {
			return "", err
		}
		if g.Name == arg {
			found = append(found, g.GroupID)
		}
	}
	return only("group", arg, found)
}

// optionalGroup is group, of an argument that may be empty.
func (a *asking) optionalGroup(ctx context.Context, arg string) (string, error) {
	if arg == "" {
		return "", nil
	}
	return a.group(ctx, arg)
}

// only is the one that was found.
func only(what, name string, found []string) (string, error) {
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return "", fmt.Errorf(`no %s is called %q: "tether %s list" shows them`, what, name, what)
	}
	return "", fmt.Errorf("%d %ss are called %q: say which by its id: %s", len(found), what, name, strings.Join(found, ", "))
}

// sure asks before something that cannot be undone.
func (a *asking) sure(ctx context.Context, yes bool, format string, args ...any) error {
	if yes {
		return nil
	}
	if !a.asks {
		return wrong("say --yes: nobody is there to be asked")
	}
	fmt.Fprintf(a.err, "%s [y/N] ", plain(fmt.Sprintf(format, args...)))
	answer := make(chan string, 1)
	go func() { // which ends with the line, or with the process
		line, _ := bufio.NewReader(a.in).ReadString('\n')
		answer <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case line := <-answer:
		if line == "y" || line == "yes" {
			return nil
		}
	case <-ctx.Done():
		fmt.Fprintln(a.err)
	}
	return errors.New("nothing was changed")
}

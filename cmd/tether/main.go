package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
	"github.com/edgetether/tether/schema"
	"github.com/goccy/go-yaml"
	"github.com/rs/zerolog"
	"golang.org/x/term"
)

// cli are the commands and flags. Each flag can also be given as an
// environment variable, --log-level as TETHER_LOG_LEVEL, and as a line of the
// file that --config names; the command line is the strongest, the file the weakest.
type cli struct {
	Serve   serveCmd   `cmd:"" help:"Run the service."`
	Demo    demoCmd    `cmd:"" help:"Run a service with three devices on this machine, and show what happens."`
	Device  deviceCmd  `cmd:"" help:"Devices of a running service: list, show, log, history, add, import, update, password, rm …"`
	Group   groupCmd   `cmd:"" help:"Groups of devices: list, show, devices, add, update, join, leave, clear, rm."`
	Order   orderCmd   `cmd:"" help:"Orders: give, show, list, cancel, logfile."`
	Job     jobCmd     `cmd:"" help:"Orders to many devices: give, list, show, cancel, retry."`
	Events  eventsCmd  `cmd:"" help:"Show what happens to all devices, as it happens."`
	Audit   auditCmd   `cmd:"" help:"Show who changed and ordered what."`
	Sim     simCmd     `cmd:"" help:"Simulate a fleet of devices, and measure what a running service makes of it."`
	Key     keyCmd     `cmd:"" help:"API keys of a database: add, list, revoke."`
	Conform conformCmd `cmd:"" help:"Hold a client in any language against the device's contract."`
	Migrate migrateCmd `cmd:"" help:"Bring a database to this program's form, or show which it has."`
	DB      dbCmd      `cmd:"" name:"db" help:"A database: backup, check, copy."`

	Config   kong.ConfigFlag  `placeholder:"FILE" help:"A YAML file of flags, such as \"listen: 127.0.0.1:9090\"."`
	LogLevel string           `default:"info" enum:"debug,info,warn,error" help:"Least level that is logged: ${enum}."`
	LogJSON  bool             `name:"log-json" help:"Log in JSON instead of text."`
	Version  kong.VersionFlag `help:"Print the version, and end."`
}

const description = `Manages edge devices: REST for business services, JSON-RPC over one WebSocket for each device.

Examples:
  tether demo
  tether serve --database sqlite:/var/lib/tether/tether.db --tls-cert cert.pem --tls-key key.pem --listen :9090
  tether key add line-2 --role operator
  tether device list --state offline
  tether order give press-7 restart
  tether job give restart --model ModelB --max-failures 10
  tether events --kind state
  tether db backup --to /backup/tether.db`

// streams are what a command writes to: results to out, all else to err.
type streams struct {
	out, err io.Writer
	log      *slog.Logger
	in       io.Reader
	asks     bool // somebody can be asked: in and err are a terminal
	width    int  // of the terminal that out is; 0: it is none
}

func newStreams(flags cli, stdout, stderr io.Writer) streams {
	s := streams{out: stdout, err: stderr, log: newLog(flags, stderr), in: os.Stdin}
	s.asks = terminalWidth(stderr) > 0 && term.IsTerminal(int(os.Stdin.Fd()))
	s.width = terminalWidth(stdout)
	return s
}

// terminalWidth is in columns; 0: there is no terminal.
func terminalWidth(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	columns, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return max(columns, 20) // one that does not say has 0
}

// logTime is RFC 3339 with milliseconds.
const logTime = "2006-01-02T15:04:05.000Z07:00"

func main() {
	zerolog.TimeFieldFormat = logTime
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	code := run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the program: 0 is a good end, 1 a failure or an interruption of what would
// have ended by itself, 2 a wrong call, 3 an order or a job without an outcome.
func run(ctx context.Context, args, env []string, stdout, stderr io.Writer) int {
	var flags cli
	command, err := parse(&flags, args, env, stdout)
	if err != nil {
		fmt.Fprintln(stderr, "tether:", err)
		return 2
	}
	if command == nil {
		return 0
	}
	ctx, done := context.WithCancel(ctx)
	defer done()
	command.BindTo(ctx, (*context.Context)(nil))
	err = command.Run(newStreams(flags, stdout, stderr))
	if err == nil {
		return 0
	}
	err = explained(err)
	for i, line := range strings.Split(err.Error(), "\n") {
		if i == 0 {
			line = "tether: " + line
		}
		fmt.Fprintln(stderr, plain(line)) // there may be words of a device in it
	}
	return codeOf(err)
}

// parse reads the flags; a nil command says that help was printed and all is done.
func parse(flags *cli, args, env []string, stdout io.Writer) (*kong.Context, error) {
	helped := false
	parser, err := kong.New(flags,
		kong.Name("tether"), kong.Description(description),
		kong.Vars{"version": version(), "database": "sqlite:" + filepath.Join("data", "tether.db")},
		kong.Writers(stdout, io.Discard),
		kong.Exit(func(int) { helped = true }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true, WrapUpperBound: 100}),
		kong.Configuration(yamlFile(environment(env))),
		kong.Resolvers(environment(env)))
	if err != nil {
		return nil, err
	}
	command, err := parser.Parse(args)
	if helped {
		return nil, nil
	}
	return command, err
}

// environment finds --log-level in TETHER_LOG_LEVEL.
func environment(env []string) kong.Resolver {
	values := make(map[string]string, len(env))
	for _, pair := range env {
		name, value, _ := strings.Cut(pair, "=")
		values[name] = value
	}
	return kong.ResolverFunc(func(_ *kong.Context, _ *kong.Path, f *kong.Flag) (any, error) {
		if v, ok := values["TETHER_"+strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))]; ok && f.Name != "config" {
			return v, nil
		}
		return nil, nil
	})
}

// yamlFile is the file of --config: flags by their names. A name that is no
// flag is an error, since a setting that does nothing is worse than none. Of
// several resolvers kong believes the last, which is the file's: hence it asks
// the stronger one first.
func yamlFile(stronger kong.Resolver) kong.ConfigurationLoader {
	return func(r io.Reader) (kong.Resolver, error) {
		v := fileResolver{stronger: stronger, values: map[string]any{}}
		if err := yaml.NewDecoder(r).Decode(&v.values); err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		return v, nil
	}
}

type fileResolver struct {
	stronger kong.Resolver
	values   map[string]any
}

// Validate names a line of the file that is no flag.
func (v fileResolver) Validate(app *kong.Application) error {
	known := map[string]bool{}
	for _, group := range app.AllFlags(false) {
		for _, f := range group {
			known[f.Name] = true
		}
	}
	for _, command := range app.Leaves(false) {
		for _, f := range command.Flags {
			known[f.Name] = true
		}
	}
	for name := range v.values {
		if !known[name] {
			return fmt.Errorf("--config: %q is no flag of tether", name)
		}
	}
	return nil
}

// Resolve finds a flag in the file.
func (v fileResolver) Resolve(ctx *kong.Context, path *kong.Path, f *kong.Flag) (any, error) {
	if value, err := v.stronger.Resolve(ctx, path, f); value != nil || err != nil {
		return value, err
	}
	value, ok := v.values[f.Name]
	if !ok {
		return nil, nil
	}
	return fmt.Sprint(value), nil
}

func newLog(flags cli, w io.Writer) *slog.Logger {
	w = escaped{w}
	level, err := zerolog.ParseLevel(flags.LogLevel)
	if err != nil {
		level = zerolog.InfoLevel // the flag's enum leaves no other
	}
	if !flags.LogJSON {
		w = zerolog.ConsoleWriter{Out: w, NoColor: true, TimeFormat: logTime}
	}
	return slog.New(zerolog.NewSlogHandler(zerolog.New(w).Level(level).With().Timestamp().Logger()))
}

// escaped writes records of a log, in which nothing is left that a terminal would obey (T19).
type escaped struct{ to io.Writer }

// Write writes one record.
func (e escaped) Write(record []byte) (int, error) {
	if _, err := e.to.Write(schema.EscapeControls(record)); err != nil {
		return 0, err
	}
	return len(record), nil
}

// version is the module's, as the build has it.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
	"github.com/rs/zerolog"
)

// cli are the flags. Each can be given as an environment variable too:
// --log-level is TETHER_LOG_LEVEL.
type cli struct {
	Config    string  `short:"c" placeholder:"FILE" help:"The configuration file."`
	Check     bool    `help:"Check the configuration, print what it allows, and end."`
	Example   bool    `help:"Print an example configuration with comments, and end."`
	TimeScale float64 `default:"1" help:"For tests: multiplies the times that the contract leaves to a device, such as the 10 s before it reconnects."`
	LogLevel  string  `default:"info" enum:"debug,info,warn,error" help:"Least level that is logged: ${enum}."`
	LogJSON   bool    `name:"log-json" help:"Log in JSON instead of text."`
}

// logTime is RFC 3339 with milliseconds.
const logTime = "2006-01-02T15:04:05.000Z07:00"

func main() {
	zerolog.TimeFieldFormat = logTime
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the program: 0 is a good end, 1 a failure, 2 a wrong call or file.
func run(ctx context.Context, args, env []string, stdout, stderr io.Writer) int {
	lookup := environment(env)
	var flags cli
	parsed, err := parseFlags(&flags, args, lookup, stdout)
	if err != nil || !parsed {
		return complain(stderr, err, 2)
	}
	if flags.Example {
		_, err := io.WriteString(stdout, example)
		return complain(stderr, err, 1)
	}
	if flags.Config == "" {
		return complain(stderr, errors.New("--config=FILE is required (--example prints one)"), 2)
	}
	cfg, err := readConfig(flags.Config, lookup)
	if err != nil {
		return complain(stderr, err, 2)
	}
	cfg.timeScale = flags.TimeScale
	if flags.Check {
		return complain(stderr, describe(stdout, cfg), 1)
	}
	return complain(stderr, runAgent(ctx, cfg, newLog(flags, stderr)), 1)
}

func complain(stderr io.Writer, err error, code int) int {
	if err == nil {
		return 0
	}
	fmt.Fprintln(stderr, "tether-agent:", err)
	return code
}

// parseFlags fills flags; false says that help was printed and all is done.
func parseFlags(flags *cli, args []string, lookup func(string) string, stdout io.Writer) (bool, error) {
	helped := false
	parser, err := kong.New(flags,
		kong.Name("tether-agent"),
		kong.Description("A device of a tether server: reports figures, carries out allow-listed commands."),
		kong.Writers(stdout, io.Discard),
		kong.Exit(func(int) { helped = true }),
		kong.Resolvers(kong.ResolverFunc(func(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
			name := "TETHER_" + strings.ToUpper(strings.ReplaceAll(flag.Name, "-", "_"))
			if value := lookup(name); value != "" {
				return value, nil
			}
			return nil, nil
		})))
	if err != nil {
		return false, err
	}
	_, err = parser.Parse(args)
	if helped {
		return false, nil
	}
	return err == nil, err
}

func environment(env []string) func(string) string {
	values := make(map[string]string, len(env))
	for _, pair := range env {
		name, value, _ := strings.Cut(pair, "=")
		values[name] = value
	}
	return func(name string) string { return values[name] }
}

func newLog(flags cli, w io.Writer) zerolog.Logger {
	level, err := zerolog.ParseLevel(flags.LogLevel)
	if err != nil {
		level = zerolog.InfoLevel // the flag's enum leaves no other
	}
	w = zerolog.SyncWriter(w) // the library logs from several goroutines
	if !flags.LogJSON {
		w = zerolog.ConsoleWriter{Out: w, NoColor: true, TimeFormat: logTime}
	}
	return zerolog.New(w).Level(level).With().Timestamp().Logger()
}

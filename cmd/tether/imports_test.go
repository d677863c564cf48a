package main

import (
	"go/build/constraint"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	module     = "github.com/edgetether/tether"
	moduleRoot = "../.."
)

// rooms says which rooms a room may import. A package belongs to the room of
// its first folder; cmd may import all.
var rooms = map[string][]string{
	"schema":   {},
	"rpc":      {"schema"},
	"store":    {"schema"},
	"session":  {"schema", "rpc"},
	"device":   {"schema", "rpc"},
	"northapi": {"schema"},
	"cmd":      {"schema", "rpc", "store", "session", "device", "northapi"},
}

// modules says which rooms may import a module from elsewhere. A module that
// is not here may not be imported at all.
var modules = map[string][]string{
	"github.com/sourcegraph/jsonrpc2":     {"rpc"},
	"github.com/gorilla/websocket":        {"rpc", "cmd/tether/conform", "cmd/tether/sim"}, // they send what rpc never would, or for less
	"github.com/go-chi/chi/v5":            {"northapi"},
	"github.com/go-json-experiment/json":  {"rpc", "northapi", "session", "device", "store", "cmd/tether/conform", "cmd/tether/sim"},
	"github.com/jackc/pgx/v5":             {"store"},
	"modernc.org/sqlite":                  {"store", "cmd"},
	"github.com/pressly/goose/v3":         {"store", "cmd"},
	"github.com/bwmarrin/snowflake":       {"store", "cmd"},
	"golang.org/x/crypto":                 {"store", "device"},
	"golang.org/x/term":                   {"cmd"},
	"golang.org/x/text":                   {"store", "cmd"},
	"golang.org/x/time":                   {"session", "northapi", "device"},
	"github.com/pkg/sftp":                 {"device", "store/logdrop"},
	"github.com/shirou/gopsutil/v3":       {"device"},
	"github.com/prometheus/client_golang": {"cmd", "northapi"},
	"github.com/rs/zerolog":               {"cmd"},
	"github.com/alecthomas/kong":          {"cmd"},
	"github.com/goccy/go-yaml":            {"cmd"},
}

// TestImportsKeepToTheTables reads every source file of the module.
func TestImportsKeepToTheTables(t *testing.T) {
	used := map[string]bool{}
	for file, imports := range sources(t) {
		dir := path.Dir(file)
		for _, imported := range imports {
			if name, ok := moduleOf(imported); ok {
				used[name] = true
			}
			if why := refusal(dir, imported); why != "" {
				t.Errorf("%s imports %s: %s", file, imported, why)
			}
		}
	}
	if len(used) == 0 {
		t.Error("no import of any module was seen: the test reads nothing")
	}
}

func TestRefusal(t *testing.T) {
	for _, c := range []struct {
		dir, imported string
		refused       bool
	}{
		{"schema", "encoding/json", false},
		{"schema", module + "/rpc", true},
		{"rpc", module + "/schema", false},
		{"rpc", module + "/session", true},
		{"store/logdrop", module + "/schema", false},
		{"store", module + "/store/logdrop", false},
		{"northapi", module + "/session", true},
		{"cmd/tether", module + "/northapi", false},
		{"cmd/tether-agent", module + "/device", false},
		{"device", module + "/store", true},
		{"newroom", "fmt", true},
		{"rpc", "github.com/gorilla/websocket", false},
		{"session", "github.com/gorilla/websocket", true},
		{"store", "github.com/pkg/sftp", true},
		{"store/logdrop", "github.com/pkg/sftp", false},
		{"store/logdrop", "golang.org/x/crypto/ssh", false},
		{"rpc", "golang.org/x/crypto/bcrypt", true},
		{"store", "github.com/jackc/pgx/v5/stdlib", false},
		{"rpc", "github.com/jackc/pgx/v5x", true},
		{"cmd/tether", "github.com/stretchr/testify/assert", true},
		{"rpc", "C", true},
	} {
		if why := refusal(c.dir, c.imported); (why != "") != c.refused {
			t.Errorf("%s imports %s: %q", c.dir, c.imported, why)
		}
	}
}

// TestRoomsAgree: no room imports one that imports it.
func TestRoomsAgree(t *testing.T) {
	for room, allowed := range rooms {
		for _, other := range allowed {
			if slices.Contains(rooms[other], room) {
				t.Errorf("%s and %s may import each other", room, other)
			}
		}
	}
}

// refusal says why a package in dir may not import what it imports; empty is
// leave.
func refusal(dir, imported string) string {
	room, _, _ := strings.Cut(dir, "/")
	allowed, known := rooms[room]
	if !known {
		return "the folder is no room"
	}
	if rest, inner := strings.CutPrefix(imported, module+"/"); inner {
		target, _, _ := strings.Cut(rest, "/")
		if target == room || slices.Contains(allowed, target) {
			return ""
		}
		return "the room may import " + strings.Join(allowed, ", ") + " only"
	}
	if imported == "C" {
		return "the binaries are static"
	}
	if first, _, _ := strings.Cut(imported, "/"); !strings.Contains(first, ".") {
		return "" // standard library
	}
	name, known := moduleOf(imported)
	if !known {
		return "the module is not in the table"
	}
	for _, home := range modules[name] {
		if dir == home || strings.HasPrefix(dir, home+"/") {
			return ""
		}
	}
	return "the module belongs to " + strings.Join(modules[name], ", ")
}

func moduleOf(imported string) (string, bool) {
	for name := range modules {
		if imported == name || strings.HasPrefix(imported, name+"/") {
			return name, true
		}
	}
	return "", false
}

// sources gives the imports of every source file, by its path from the root.
// Tests, and programs that no build includes, may import what they need.
func sources(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	root := os.DirFS(moduleRoot)
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if base := d.Name(); d.IsDir() && name != "." && (base[0] == '.' || base == "testdata" || base == "bin") {
			return fs.SkipDir
		}
		if d.IsDir() || path.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		text, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		found[name] = importsOf(t, name, text)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func importsOf(t *testing.T, name string, text []byte) (imports []string) {
	t.Helper()
	for line := range strings.Lines(string(text)) {
		if expr, err := constraint.Parse(strings.TrimSpace(line)); err == nil && expr.String() == "ignore" {
			return nil
		}
	}
	file, err := parser.ParseFile(token.NewFileSet(), filepath.FromSlash(name), text, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	for _, spec := range file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		imports = append(imports, imported)
	}
	return imports
}

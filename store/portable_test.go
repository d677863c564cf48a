package store

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// oneEngineOnly are words that one of the two engines does not know, or reads
// in its own way.
var oneEngineOnly = regexp.MustCompile(`(?i)\b(PRAGMA|AUTOINCREMENT|ROWID|GLOB|IFNULL|STRFTIME|DATETIME|JULIANDAY|UNIXEPOCH|` +
	`LAST_INSERT_ROWID|GROUP_CONCAT|JSON_EXTRACT|RANDOMBLOB|INSERT OR|UPDATE OR|REPLACE INTO|COLLATE|WITHOUT|STRICT|TYPEOF|` +
	`IIF|PRINTF|INSTR|ILIKE|SERIAL|JSONB|NOW|ARRAY|UNNEST|ANY|FOR UPDATE|GREATEST|LEAST|CONFLICT ON)\b|::|\|\|`)

var isSQL = regexp.MustCompile(`(?s)^\s*(SELECT|INSERT|UPDATE|DELETE|CREATE|DROP|SAVEPOINT|RELEASE|ROLLBACK|AND|ON CONFLICT)\b`)

// The text is for both engines: no word that only one of them knows.
func TestPortable_SQLText(t *testing.T) {
	checked := 0
	check := func(where, text string) {
		checked++
		if word := oneEngineOnly.FindString(text); word != "" {
			t.Errorf("%s: %q in %q", where, word, text)
		}
	}
	for name, f := range sources(t) {
		if knowsItsEngine(name) {
			continue
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if text, err := strconv.Unquote(lit.Value); err == nil && isSQL.MatchString(text) {
					check(name, text)
				}
			}
			return true
		})
	}
	files, err := filepath.Glob("migrations/*.sql")
	must(t, err)
	for _, name := range files {
		text, err := os.ReadFile(name)
		must(t, err)
		check(name, string(text))
	}
	if checked < 60 {
		t.Fatalf("found %d texts only", checked)
	}
}

// Values reach the database as parameters alone: no text is formatted into
// SQL, and the pieces that query.add and in join are constants (T37).
func TestT37_NoValueBecomesText(t *testing.T) {
	for name, f := range sources(t) {
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) == 0 {
				return true
			}
			fun, ok := call.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			lit, isText := call.Args[0].(*ast.BasicLit)
			if strings.HasPrefix(fun.Sel.Name, "Sprint") && isText && isSQL.MatchString(strings.Trim(lit.Value, "`\"")) {
				t.Errorf("%s: SQL is formatted: %s", name, lit.Value)
			}
			return true
		})
	}
}

// Only what opens an engine, errors.go and what sees to the file of one know which one it is.
func TestPortable_Imports(t *testing.T) {
	for name, f := range sources(t) {
		if knowsItsEngine(name) || name == "errors.go" || name == "file.go" {
			continue
		}
		for _, imp := range f.Imports {
			if strings.Contains(imp.Path.Value, "modernc.org") || strings.Contains(imp.Path.Value, "jackc") {
				t.Errorf("%s imports %s", name, imp.Path.Value)
			}
		}
	}
}

func knowsItsEngine(file string) bool { return strings.HasPrefix(file, "open") }

// sources are the package's files, without its tests.
func sources(t *testing.T) map[string]*ast.File {
	t.Helper()
	names, err := filepath.Glob("*.go")
	must(t, err)
	files := map[string]*ast.File{}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		must(t, err)
		files[name] = f
	}
	return files
}

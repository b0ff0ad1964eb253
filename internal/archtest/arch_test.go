package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"forebay/internal/testenv"
)

// file is a parsed source file of the module.
type file struct {
	path  string // from the root
	pkg   string // import path without the module
	test  bool
	ast   *ast.File
	fset  *token.FileSet
	lines int
	made  bool // generated
}

func load(t *testing.T) []file {
	t.Helper()
	root := testenv.Root(t)
	var out []file
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && (strings.HasPrefix(name, ".") && path != root || name == "node_modules" || name == "testdata" || name == "tools" || name == "bin") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") {
			return nil
		}
		src, err := os.ReadFile(path) //nolint:gosec // our own sources
		if err != nil {
			return err
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, path, src, parser.ParseComments)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		out = append(out, file{
			path: rel, pkg: filepath.ToSlash(filepath.Dir(rel)), test: strings.HasSuffix(name, "_test.go"), ast: f, fset: fset,
			lines: strings.Count(string(src), "\n"), made: ast.IsGenerated(f),
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func imports(f *file) []string {
	var out []string
	for _, i := range f.ast.Imports {
		p, _ := strconv.Unquote(i.Path.Value)
		out = append(out, p)
	}
	return out
}

// rule forbids imports.
type rule struct {
	from   string // package, or prefix ending in /
	except []string
	to     []string // forbidden packages, or prefixes ending in /
	why    string
}

var rules = []rule{
	{from: "api/", to: []string{"forebay/engine/", "forebay/store", "forebay/dispatch", "forebay/server"}, why: "an API knows the gateway only; package server connects it to engines and stores"},
	{from: "engine/", to: []string{"forebay/api", "forebay/api/", "forebay/dispatch", "forebay/capacity", "forebay/store", "forebay/server"}, why: "an engine answers calls and decides nothing; what it needs comes with the request"},
	{from: "dispatch", to: []string{"forebay/api", "forebay/api/", "forebay/engine/", "forebay/store", "forebay/server"}, why: "the road goes one way: dispatch knows the port, not the engines"},
	{from: "dialect", to: []string{"forebay/api", "forebay/engine", "forebay/dispatch", "forebay/capacity", "forebay/server"}, why: "a dialect is a translation and depends on the vocabulary alone"},
	{from: "cmd/forebay", to: []string{"forebay/server", "forebay/config", "forebay/engine"}, why: "main is signals and an exit code; put it into package cli"},
}

// pure packages take values and give values.
var pure = map[string][]string{
	"capacity": nil, "perf": nil, "infer": nil, "fault": nil, "identity": nil,
}

var impure = []string{"os", "net", "net/http", "log", "log/slog", "sync", "sync/atomic", "math/rand", "context"}

func matches(pattern, name string) bool {
	return name == pattern || strings.HasSuffix(pattern, "/") && strings.HasPrefix(name, pattern)
}

func TestImports(t *testing.T) {
	for _, f := range load(t) {
		if f.test {
			continue
		}
		for _, imp := range imports(&f) {
			for _, r := range rules {
				if !matches(r.from, f.pkg) {
					continue
				}
				for _, to := range r.to {
					if matches(to, imp) && imp != "forebay/"+f.pkg {
						t.Errorf("%s imports %s: %s", f.path, imp, r.why)
					}
				}
			}
			if strings.HasPrefix(f.pkg, "api/") && strings.HasPrefix(imp, "forebay/api/") {
				t.Errorf("%s imports %s: APIs do not know each other; put what they share into package api", f.path, imp)
			}
			if !strings.HasPrefix(f.pkg, "server") && f.pkg != "engine/enginetest" && strings.HasPrefix(imp, "forebay/engine/") && !strings.HasPrefix(f.pkg, "engine/") {
				t.Errorf("%s imports %s: only package server names concrete engines", f.path, imp)
			}
			if imp == "encoding/json" && f.pkg != "bench" {
				t.Errorf("%s imports encoding/json: it accepts duplicate names and invalid UTF-8; use github.com/go-json-experiment/json", f.path)
			}
		}
	}
}

func TestPurity(t *testing.T) {
	for _, f := range load(t) {
		if _, ok := pure[f.pkg]; !ok || f.test {
			continue
		}
		for _, imp := range imports(&f) {
			if slices.Contains(impure, imp) && !(imp == "context" && f.pkg == "infer") {
				t.Errorf("%s imports %s: pure packages take values and give values; pass what it needs as an argument", f.path, imp)
			}
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			switch x := n.(type) {
			case *ast.SelectorExpr:
				if id, ok := x.X.(*ast.Ident); ok && id.Name == "time" && (x.Sel.Name == "Now" || x.Sel.Name == "Since" || x.Sel.Name == "Sleep") {
					t.Errorf("%s: time.%s: time is an argument in pure packages", f.fset.Position(x.Pos()), x.Sel.Name)
				}
			case *ast.GoStmt:
				t.Errorf("%s: a goroutine in a pure package: let the shell start it", f.fset.Position(x.Pos()))
			case *ast.Ident:
				if (f.pkg == "capacity" || f.pkg == "perf") && (x.Name == "float64" || x.Name == "float32") {
					t.Errorf("%s: a float in the scheduler: results must not depend on rounding, use integers", f.fset.Position(x.Pos()))
				}
			}
			return true
		})
	}
}

func TestSizes(t *testing.T) {
	const maxFile, maxFunc = 600, 60
	for _, f := range load(t) {
		if f.made || f.test {
			continue
		}
		if f.lines > maxFile {
			t.Errorf("%s has %d lines, at most %d read well: split it by what it is about", f.path, f.lines, maxFile)
		}
		for _, d := range f.ast.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Body == nil {
				continue
			}
			if n := f.fset.Position(fn.End()).Line - f.fset.Position(fn.Pos()).Line; n > maxFunc {
				t.Errorf("%s: %s has %d lines, at most %d read well", f.fset.Position(fn.Pos()), fn.Name.Name, n, maxFunc)
			}
		}
	}
}

func TestEveryPackageIsDescribed(t *testing.T) {
	described := map[string]bool{}
	names := map[string]string{}
	for _, f := range load(t) {
		if f.test && strings.HasSuffix(f.ast.Name.Name, "_test") {
			continue
		}
		if _, seen := described[f.pkg]; !seen {
			described[f.pkg] = false
		}
		names[f.pkg] = f.ast.Name.Name
		if f.ast.Doc != nil && len(f.ast.Doc.Text()) > 30 {
			described[f.pkg] = true
		}
	}
	for pkg, ok := range described {
		if !ok {
			t.Errorf("package %s has no doc comment: say what it is, what must stay true, and who may call it how", pkg)
		}
		if slices.Contains([]string{"util", "utils", "common", "types", "helpers", "base", "manager"}, names[pkg]) {
			t.Errorf("package %s: name it by what it provides", pkg)
		}
	}
}

func TestNoSleepingInTests(t *testing.T) {
	for _, f := range load(t) {
		if !f.test {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if x, ok := n.(*ast.SelectorExpr); ok {
				if id, ok := x.X.(*ast.Ident); ok && id.Name == "time" && x.Sel.Name == "Sleep" && !usesSynctest(&f) {
					t.Errorf("%s: time.Sleep in a test: wait for a signal, or use testing/synctest", f.fset.Position(x.Pos()))
				}
			}
			return true
		})
	}
}

func usesSynctest(f *file) bool { return slices.Contains(imports(f), "testing/synctest") }

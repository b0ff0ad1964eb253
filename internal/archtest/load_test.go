package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"forebay/internal/testenv"
)

const module = "forebay"

// file is a parsed source file.
type file struct {
	path  string // from the root of the repository
	pkg   string // folder of the package from the root
	test  bool
	made  bool // generated
	lines int
	ast   *ast.File
}

// positions are those of all files.
var positions = token.NewFileSet()

// parse reads one source.
func parse(path string, src []byte) (file, error) {
	f, err := parser.ParseFile(positions, path, src, parser.ParseComments)
	if err != nil {
		return file{}, err
	}
	return file{
		path: path, pkg: filepath.ToSlash(filepath.Dir(path)), test: strings.HasSuffix(path, "_test.go"),
		made: ast.IsGenerated(f), lines: strings.Count(string(src), "\n"), ast: f,
	}, nil
}

// imports lists what a file imports.
func (f *file) imports() []string {
	var out []string
	for _, i := range f.ast.Imports {
		p, _ := strconv.Unquote(i.Path.Value) // the parser has read it
		out = append(out, p)
	}
	return out
}

// at is a position for messages.
func (f *file) at(p token.Pos) string { return positions.Position(p).String() }

// tree is every source of the module, read once. Other modules and what is installed beside the sources are left out.
var tree = sync.OnceValues(func() ([]file, error) {
	root, err := findRoot()
	if err != nil {
		return nil, err
	}
	var out []file
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return skip(root, path, d.Name())
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		src, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		f, err := parse(filepath.ToSlash(rel), src)
		out = append(out, f)
		return err
	})
	return out, err
})

func findRoot() (string, error) {
	dir, err := os.Getwd()
	return filepath.Dir(filepath.Dir(dir)), err // internal/archtest
}

// skip leaves out folders that hold no package of the module.
func skip(root, path, name string) error {
	if path == root {
		return nil
	}
	_, other := os.Stat(filepath.Join(path, "go.mod"))
	if other == nil || name == "node_modules" || name == "testdata" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") {
		return fs.SkipDir
	}
	return nil
}

func load(t *testing.T) []file {
	t.Helper()
	files, err := tree()
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 || !strings.HasPrefix(testenv.Root(t), "/") {
		t.Fatal("no sources found")
	}
	return files
}

// hold reports the breaches of a rule.
func hold(t *testing.T, rule func([]file) []string) {
	t.Helper()
	for _, breach := range rule(load(t)) {
		t.Error(breach)
	}
}

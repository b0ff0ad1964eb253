package archtest

import (
	"fmt"
	"go/ast"
	"go/importer"
	"go/token"
	"go/types"
	"slices"
	"testing"
)

// pure are the packages that take values and give values, and what each may import of
// the standard library beyond what is harmless, with the reason.
var pure = map[string][]string{
	"capacity":          nil,
	"capacity/codec":    nil,
	"capacity/eventlog": nil,
	"capacity/scale":    nil,
	"capacity/script":   nil,
	"perf":              nil,
	"plan/clouds":       nil,
	"plan/interval":     nil,
	"plan/purchase":     nil,
	"sim":               nil,
	"identity":          nil,
	"fault":             nil,
	"infer":             {"context"}, // Handler passes the caller's context on
}

// integral are the pure packages without floats: their results must be the same on every machine.
var integral = []string{"capacity", "capacity/codec", "capacity/eventlog", "capacity/scale", "capacity/script", "perf", "sim"}

// impure are packages, and groups, that reach outside of the arguments.
var impure = []string{"os", "os/", "net", "net/", "log", "log/", "sync", "sync/", "syscall", "unsafe", "context", "math/rand", "crypto/rand", "runtime", "runtime/", "database/", "testing"}

// clock are the functions of package time that read or wait for the clock.
var clock = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}

// seeded are the functions of math/rand/v2 that do not draw from the global generator.
var seeded = []string{"New", "NewPCG", "NewChaCha8", "NewZipf", "Rand", "Source", "PCG", "ChaCha8", "Zipf"}

func purePackagesArePure(files []file) []string {
	var out []string
	for i := range files {
		f := &files[i]
		allowed, ok := pure[f.pkg]
		if !ok || f.test {
			continue
		}
		for _, imp := range f.imports() {
			if slices.ContainsFunc(impure, func(p string) bool { return draws(p, imp) }) && !slices.Contains(allowed, imp) {
				out = append(out, fmt.Sprintf("%s imports %s: a pure package takes values and gives values; pass what it needs as an argument, or do it in the shell around it", f.path, imp))
			}
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if breach := impureNode(f, n); breach != "" {
				out = append(out, f.at(n.Pos())+": "+breach)
			}
			return true
		})
	}
	return out
}

func impureNode(f *file, n ast.Node) string {
	switch x := n.(type) {
	case *ast.GoStmt, *ast.SelectStmt, *ast.SendStmt, *ast.ChanType:
		return "goroutines and channels make order a matter of chance; let the shell own them"
	case *ast.SelectorExpr:
		id, ok := x.X.(*ast.Ident)
		switch {
		case ok && id.Name == "time" && slices.Contains(clock, x.Sel.Name):
			return "time." + x.Sel.Name + ": time is an argument in pure packages"
		case ok && id.Name == "rand" && !slices.Contains(seeded, x.Sel.Name):
			return "rand." + x.Sel.Name + " draws from the global generator: take a *rand.Rand as an argument"
		}
	case *ast.Ident:
		if slices.Contains(integral, f.pkg) && (x.Name == "float64" || x.Name == "float32") {
			return x.Name + ": results must not depend on rounding; use integers in smaller units"
		}
	case *ast.BasicLit:
		if slices.Contains(integral, f.pkg) && x.Kind == token.FLOAT {
			return "the float " + x.Value + ": results must not depend on rounding; use integers in smaller units"
		}
	}
	return ""
}

func TestPurePackagesArePure(t *testing.T) { hold(t, purePackagesArePure) }

// noMapOrder reports loops over maps in one package, which needs its types.
func noMapOrder(imp types.Importer, pkg string, files []file) ([]string, error) {
	if len(files) == 0 {
		return nil, nil
	}
	parsed := make([]*ast.File, len(files))
	for i := range files {
		parsed[i] = files[i].ast
	}
	info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}}
	conf := types.Config{Importer: imp}
	if _, err := conf.Check(module+"/"+pkg, positions, parsed, info); err != nil {
		return nil, fmt.Errorf("package %s: %w", pkg, err)
	}
	var out []string
	for i := range files {
		ast.Inspect(files[i].ast, func(n ast.Node) bool {
			loop, ok := n.(*ast.RangeStmt)
			if !ok {
				return true
			}
			if _, isMap := info.Types[loop.X].Type.Underlying().(*types.Map); isMap {
				out = append(out, files[i].at(loop.Pos())+": a loop over a map comes in another order each time; loop over slices.Sorted(maps.Keys(m)), or keep a slice")
			}
			return true
		})
	}
	return out, nil
}

func TestPurePackagesDoNotLoopOverMaps(t *testing.T) {
	imp := importer.ForCompiler(positions, "source", nil)
	for pkg := range pure {
		var files []file
		for _, f := range load(t) {
			if f.pkg == pkg && !f.test {
				files = append(files, f)
			}
		}
		breaches, err := noMapOrder(imp, pkg, files)
		if err != nil {
			t.Error(err)
		}
		for _, b := range breaches {
			t.Error(b)
		}
	}
}

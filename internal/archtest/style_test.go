package archtest

import (
	"fmt"
	"go/ast"
	"slices"
	"strings"
	"testing"
)

// The limits of what a person wrote; generated files are as long as they are.
const (
	maxFile      = 600 // lines
	maxFunction  = 60  // lines
	maxInterface = 5   // methods
	minDoc       = 30  // bytes of a package's description
)

func sizesAreReadable(files []file) []string {
	var out []string
	for i := range files {
		f := &files[i]
		if f.made {
			continue
		}
		if f.lines > maxFile {
			out = append(out, fmt.Sprintf("%s has %d lines, at most %d can be kept in mind: split it by what it is about", f.path, f.lines, maxFile))
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			switch x := n.(type) {
			case *ast.FuncDecl:
				if lines := positions.Position(x.End()).Line - positions.Position(x.Pos()).Line + 1; lines > maxFunction && !f.test {
					out = append(out, fmt.Sprintf("%s: %s has %d lines, at most %d can be kept in mind: give its parts names", f.at(x.Pos()), x.Name.Name, lines, maxFunction))
				}
			case *ast.InterfaceType:
				if n := x.Methods.NumFields(); n > maxInterface {
					out = append(out, fmt.Sprintf("%s: an interface of %d methods, at most %d: it belongs to whoever consumes it and lists what that one needs", f.at(x.Pos()), n, maxInterface))
				}
			}
			return true
		})
	}
	return out
}

func TestSizesAreReadable(t *testing.T) { hold(t, sizesAreReadable) }

// empty are names that say nothing.
var empty = []string{"util", "utils", "common", "types", "helper", "helpers", "base", "manager", "misc", "shared"}

func packagesSayWhatTheyAre(files []file) []string {
	var order, out []string
	described := map[string]bool{}
	for i := range files {
		f := &files[i]
		name, doc := f.ast.Name.Name, f.ast.Doc.Text()
		if strings.HasSuffix(name, "_test") && slices.Contains(order, f.pkg) {
			continue
		}
		if !slices.Contains(order, f.pkg) {
			order = append(order, f.pkg)
			if slices.Contains(empty, strings.TrimSuffix(name, "_test")) {
				out = append(out, fmt.Sprintf("%s: package %s says nothing: name it by what it provides", f.path, name))
			}
		}
		if len(doc) >= minDoc {
			described[f.pkg] = true
		}
	}
	for _, pkg := range order {
		if !described[pkg] {
			out = append(out, "package "+pkg+" has no description: say in a comment before the package clause what it is, what must stay true, and who may call it how")
		}
	}
	return out
}

func TestPackagesSayWhatTheyAre(t *testing.T) { hold(t, packagesSayWhatTheyAre) }

// nobodySleeps: a test that sleeps is slow when it passes and fails when the machine is
// busy. In the virtual time of testing/synctest sleeping is free and exact.
func nobodySleeps(files []file) []string {
	var out []string
	for i := range files {
		f := &files[i]
		if !f.test {
			continue
		}
		virtual := slices.Contains(f.imports(), "testing/synctest")
		ast.Inspect(f.ast, func(n ast.Node) bool {
			x, ok := n.(*ast.SelectorExpr)
			if !ok || virtual {
				return true
			}
			if id, ok := x.X.(*ast.Ident); ok && id.Name == "time" && x.Sel.Name == "Sleep" {
				out = append(out, f.at(x.Pos())+": time.Sleep in a test: wait for a signal, or let the test run in testing/synctest")
			}
			return true
		})
	}
	return out
}

func TestNobodySleeps(t *testing.T) { hold(t, nobodySleeps) }

// SPDX-License-Identifier: AGPL-3.0-or-later

package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strings"
	"testing"
)

func TestCoreIsPure(t *testing.T) {
	checked := 0
	for _, s := range sources(t) {
		rule, _ := Find(Matrix(), s.pkg)
		if !rule.Pure || s.test {
			continue
		}
		checked++
		for _, problem := range impurities(s) {
			t.Error(problem)
		}
	}
	if checked == 0 {
		t.Fatal("no file of the core was looked at")
	}
}

// impurities lists clocks, floats and goroutines in a file of the core. Names
// are compared, not types: shadowing time or float64 would be a fault as well.
func impurities(s source) []string {
	var problems []string
	report := func(n ast.Node, what string) {
		problems = append(problems, s.at(n)+": the core has no "+what)
	}
	banned := PureBannedCalls()
	ast.Inspect(s.file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && slices.Contains(banned[x.Name], n.Sel.Name) {
				report(n, x.Name+"."+n.Sel.Name)
			}
		case *ast.Ident:
			if slices.Contains([]string{"float32", "float64", "complex64", "complex128"}, n.Name) {
				report(n, n.Name)
			}
		case *ast.BasicLit:
			if n.Kind == token.FLOAT || n.Kind == token.IMAG {
				report(n, "number like "+n.Value)
			}
		case *ast.GoStmt:
			report(n, "goroutines")
		case *ast.CallExpr:
			if f, ok := n.Fun.(*ast.Ident); ok && (f.Name == "print" || f.Name == "println") {
				report(n, f.Name)
			}
		}
		return true
	})
	return problems
}

func TestImpuritiesAreFound(t *testing.T) {
	const text = `package p
import ("fmt"; "time")
var x = 0.5
func f(y float64) {
	go f(y)
	_ = time.Now()
	<-time.After(time.Second)
	fmt.Println(y)
	println("x")
}`
	fileset := token.NewFileSet()
	file, err := parser.ParseFile(fileset, "p.go", text, 0)
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(impurities(source{name: "p.go", file: file, fileset: fileset}), "\n")
	for _, want := range []string{
		"p.go:3:9: the core has no number like 0.5", "no float64", "no goroutines", "no time.Now", "no time.After", "no fmt.Println", "no println",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("not found: %s, in\n%s", want, got)
		}
	}
}

// An init function runs before main has decided anything, and nobody sees it in
// the call graph. Generated protobuf code is excused.
func TestNoInitFunctions(t *testing.T) {
	for _, s := range sources(t) {
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" && !s.made {
				t.Errorf("%s: an init function; wire it in cmd instead", s.at(f))
			}
		}
	}
}

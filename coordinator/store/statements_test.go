// SPDX-License-Identifier: AGPL-3.0-or-later

package store_test

import (
	"database/sql"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/allmende-energy/allmende/coordinator/store"
)

// Every statement of the package is prepared by PostgreSQL: its words, its
// tables, and the types of its arguments. What a test has not run is still SQL
// that both engines take.
func TestEveryStatementIsUnderstoodByPostgres(t *testing.T) {
	_, database := fresh(t, postgres)
	db, err := sql.Open("pgx", database)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	checked, parts := 0, 0
	for at, s := range statements(t) {
		if !s.whole {
			t.Logf("%s is put together from parts, and left to other tests: %.60s", at, s.text)
			parts++
			continue
		}
		checked++
		if err := prepare(t, db, s.text); err != nil {
			t.Errorf("%s: %v\n%s\nSee the package comment for what both engines take.", at, err, s.text)
		}
	}
	if checked < 50 || parts > checked/5 {
		t.Errorf("only %d statements were found whole, %d in parts", checked, parts)
	}
}

func prepare(t *testing.T, db *sql.DB, statement string) error {
	t.Helper()
	stmt, err := db.PrepareContext(t.Context(), store.RebindDollar(statement))
	if err != nil {
		return err
	}
	defer stmt.Close()
	return nil
}

type statement struct {
	text  string
	whole bool
}

// statements are the SQL in the package's source, by place, without what is one
// engine's alone.
func statements(t *testing.T) map[string]statement {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var parsed []*ast.File
	set := token.NewFileSet()
	constants := map[string]ast.Expr{}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") || strings.HasPrefix(name, "engine") || name == "copy.go" || name == "transfer.go" {
			continue
		}
		f, err := parser.ParseFile(set, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		parsed = append(parsed, f)
		ast.Inspect(f, func(n ast.Node) bool {
			if spec, ok := n.(*ast.ValueSpec); ok && len(spec.Names) == len(spec.Values) {
				for i, name := range spec.Names {
					constants[name.Name] = spec.Values[i]
				}
			}
			return true
		})
	}
	out := map[string]statement{}
	for _, f := range parsed {
		ast.Inspect(f, func(n ast.Node) bool {
			e, ok := n.(ast.Expr)
			if !ok {
				return true
			}
			text, whole := evaluate(e, constants)
			if !verb.MatchString(text) {
				return true
			}
			if into := insertInto.FindStringSubmatch(text); into != nil {
				text += "(" + strings.Repeat("?,", strings.Count(into[1], ",")) + "?)"
				whole = true
			}
			out[set.Position(e.Pos()).String()] = statement{text, whole}
			return false // its parts are no statements
		})
	}
	return out
}

var (
	verb       = regexp.MustCompile(`^\s*(SELECT|INSERT INTO|UPDATE|DELETE FROM|WITH) `)
	insertInto = regexp.MustCompile(`^\s*INSERT INTO \w+ \(([^)]*)\) VALUES $`)
)

// evaluate is the text of an expression as far as it is constant.
func evaluate(e ast.Expr, constants map[string]ast.Expr) (text string, whole bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		if e.Kind == token.STRING {
			text, err := strconv.Unquote(e.Value)
			return text, err == nil
		}
	case *ast.Ident:
		if value := constants[e.Name]; value != nil && value != e {
			return evaluate(value, constants)
		}
	case *ast.BinaryExpr:
		left, ok := evaluate(e.X, constants)
		if e.Op != token.ADD || !ok {
			return left, false
		}
		right, ok := evaluate(e.Y, constants)
		return left + right, ok
	}
	return "", false
}

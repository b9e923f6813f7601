// SPDX-License-Identifier: AGPL-3.0-or-later

package expr

import (
	"slices"
	"strings"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/allmende-energy/allmende/internal/strictyaml"
)

// known are the calls that an expression may make: comparisons, arithmetic on
// whole numbers, a choice, whether a text is in a list, and the smaller or larger
// of two numbers.
func known(function string) bool {
	switch function {
	case operators.Conditional, operators.LogicalAnd, operators.LogicalOr, operators.LogicalNot,
		operators.Equals, operators.NotEquals, operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals,
		operators.Add, operators.Subtract, operators.Multiply, operators.Divide, operators.Modulo, operators.Negate, operators.In,
		"min", "max":
		return true
	}
	return false
}

// allowed walks a parsed expression and refuses whatever is not on the list.
func allowed(e ast.Expr) error {
	switch e.Kind() {
	case ast.LiteralKind:
		return allowedLiteral(e.AsLiteral())
	case ast.IdentKind, ast.SelectKind:
		return allowedName(e)
	case ast.ListKind:
		for _, element := range e.AsList().Elements() {
			if element.Kind() != ast.LiteralKind || element.AsLiteral().Type() != types.StringType {
				return refuse("a list holds texts in quotes only, such as [\"families\", \"school\"]")
			}
		}
		return nil
	case ast.CallKind:
		return allowedCall(e.AsCall())
	case ast.ComprehensionKind:
		return refuse("it has a loop; ask with \"name\" in member.groups instead")
	case ast.MapKind, ast.StructKind, ast.UnspecifiedExprKind:
	}
	return refuse("it has a part that charters do not know; use numbers, names, comparisons and arithmetic")
}

func allowedLiteral(v ref.Val) error {
	switch v.Type() {
	case types.IntType, types.BoolType, types.StringType:
		return nil
	case types.DoubleType:
		return refuse("%v is a fraction, which computers do not add up alike; write whole millionths: one half is 500000", v.Value())
	}
	return refuse("it has a %s; use whole numbers, text in quotes, true and false", v.Type().TypeName())
}

func allowedCall(c ast.CallExpr) error {
	name := c.FunctionName()
	switch {
	case c.IsMemberFunction():
		switch name {
		case "all", "exists", "exists_one", "map", "filter":
			return refuse("it has a loop (%s); ask with \"name\" in member.groups instead", name)
		}
		return refuse("%s is not known here; use comparisons, arithmetic, in, min and max", name)
	case name == "timestamp" || name == "duration" || name == "now":
		return refuse("%s is a matter of time, and the same rule would give another result tomorrow; ask member.since_days", name)
	case name == "double":
		return refuse("double makes fractions, which computers do not add up alike; write whole millionths: one half is 500000")
	case name == "has":
		return refuse("has is not needed: every name is there for every member, and 0 where nothing is known")
	case !known(name):
		return refuse("%s is not known here; use comparisons, arithmetic, in, min and max", name)
	}
	for _, arg := range c.Args() {
		if err := allowed(arg); err != nil {
			return err
		}
	}
	return nil
}

// allowedName checks a name such as member.since_days against the variables.
func allowedName(e ast.Expr) error {
	name, ok := dotted(e)
	if !ok {
		return refuse("a dot stands behind something that has no parts; the names are %s", names())
	}
	for _, v := range Variables() {
		if v.Name == name {
			return nil
		}
	}
	var all []string
	for _, v := range Variables() {
		all = append(all, v.Name)
	}
	if meant := strictyaml.Suggest(name, all); meant != "" {
		return refuse("%.60s is not known; did you mean %s?", name, meant)
	}
	return refuse("%.60s is not known; the names are %s", name, names())
}

// asked adds the variables that an expression reads, each once, in its order.
func asked(e ast.Expr, into []string) []string {
	switch e.Kind() {
	case ast.IdentKind, ast.SelectKind:
		if name, ok := dotted(e); ok && !slices.Contains(into, name) {
			into = append(into, name)
		}
	case ast.CallKind:
		for _, arg := range e.AsCall().Args() {
			into = asked(arg, into)
		}
	default: // what allowed lets through has no others that hold names
	}
	return into
}

// dotted is a chain of selections as one name.
func dotted(e ast.Expr) (string, bool) {
	switch e.Kind() {
	case ast.IdentKind:
		return e.AsIdent(), true
	case ast.SelectKind:
		s := e.AsSelect()
		if s.IsTestOnly() {
			return "", false
		}
		of, ok := dotted(s.Operand())
		return of + "." + s.FieldName(), ok
	default:
		return "", false
	}
}

func names() string {
	var all []string
	for _, v := range Variables() {
		all = append(all, v.Name)
	}
	return strings.Join(all, ", ")
}

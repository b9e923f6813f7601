// SPDX-License-Identifier: AGPL-3.0-or-later

package expr

import (
	"math/big"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
)

// span is where a number lies, both ends included.
type span struct{ low, high int64 }

// ranges works out where the expression's result lies, and refuses an
// expression in which any number could overflow or any divisor could be zero. It
// looks at each part by itself (interval arithmetic), so that it can be more
// careful than need be: x > 0 ? 10 / x : 0 is refused, and 10 / max(1, x) is not.
// Of anything but numbers the span means nothing.
func ranges(checked *cel.Ast) (span, error) {
	a := checked.NativeRep()
	r := ranger{a}
	return r.of(a.Expr())
}

type ranger struct{ ast *ast.AST }

func (r *ranger) of(e ast.Expr) (span, error) {
	switch e.Kind() {
	case ast.LiteralKind:
		if v, ok := e.AsLiteral().(types.Int); ok {
			return inside(big.NewInt(int64(v)), big.NewInt(int64(v)))
		}
		return span{}, nil
	case ast.IdentKind, ast.SelectKind:
		return r.variable(e), nil
	case ast.CallKind:
		return r.call(e)
	default:
		return span{}, nil
	}
}

func (r *ranger) variable(e ast.Expr) span {
	name, _ := dotted(e)
	for _, v := range Variables() {
		if v.Name == name && v.Kind == Number {
			return span{v.Lowest, v.Highest}
		}
	}
	return span{}
}

func (r *ranger) call(e ast.Expr) (span, error) {
	c := e.AsCall()
	args := make([]span, len(c.Args()))
	for i, arg := range c.Args() {
		s, err := r.of(arg)
		if err != nil {
			return span{}, err
		}
		args[i] = s
	}
	number := r.ast.GetType(e.ID()).IsExactType(types.IntType)
	switch {
	case !number && c.FunctionName() == operators.Add:
		return span{}, refuse("texts and lists are not added here; compare them, or ask with in")
	case !number:
		return span{}, nil
	}
	switch c.FunctionName() {
	case operators.Conditional:
		return span{min(args[1].low, args[2].low), max(args[1].high, args[2].high)}, nil
	case "min":
		return span{min(args[0].low, args[1].low), min(args[0].high, args[1].high)}, nil
	case "max":
		return span{max(args[0].low, args[1].low), max(args[0].high, args[1].high)}, nil
	case operators.Negate:
		return span{-args[0].high, -args[0].low}, nil
	case operators.Add:
		return corners(args, (*big.Int).Add)
	case operators.Subtract:
		return corners(args, (*big.Int).Sub)
	case operators.Multiply:
		return corners(args, (*big.Int).Mul)
	case operators.Divide, operators.Modulo:
		return quotient(c.FunctionName(), args[0], args[1])
	}
	return span{}, refuse("%s is not known here; use comparisons, arithmetic, in, min and max", c.FunctionName())
}

// corners is the range of an operation that is monotone in each argument.
func corners(args []span, op func(z, x, y *big.Int) *big.Int) (span, error) {
	var low, high *big.Int
	for _, x := range []int64{args[0].low, args[0].high} {
		for _, y := range []int64{args[1].low, args[1].high} {
			v := op(new(big.Int), big.NewInt(x), big.NewInt(y))
			if low == nil || v.Cmp(low) < 0 {
				low = v
			}
			if high == nil || v.Cmp(high) > 0 {
				high = v
			}
		}
	}
	return inside(low, high)
}

// quotient is the range of x / y or x % y, where y is not zero.
func quotient(op string, x, y span) (span, error) {
	if y.low <= 0 && y.high >= 0 {
		return span{}, refuse("it divides by something that can be 0 (it lies between %d and %d); write max(1, …) around the divisor", y.low, y.high)
	}
	if op == operators.Modulo {
		most := max(y.low, y.high, -y.low, -y.high) - 1
		s := span{0, 0}
		if x.low < 0 {
			s.low = -min(most, -x.low)
		}
		if x.high > 0 {
			s.high = min(most, x.high)
		}
		return s, nil
	}
	all := []int64{x.low / y.low, x.low / y.high, x.high / y.low, x.high / y.high}
	s := span{all[0], all[0]}
	for _, v := range all {
		s.low, s.high = min(s.low, v), max(s.high, v)
	}
	return s, nil
}

// inside refuses a range that comes near the end of 64 bits.
func inside(low, high *big.Int) (span, error) {
	most := big.NewInt(limit)
	if low.CmpAbs(most) > 0 || high.CmpAbs(most) > 0 {
		worst := high
		if low.CmpAbs(high) > 0 {
			worst = low
		}
		return span{}, refuse("a number in it can grow to %s, more than a computer's whole number holds; write min(…) around what can grow, or divide before you multiply", worst)
	}
	return span{low.Int64(), high.Int64()}, nil
}

// SPDX-License-Identifier: AGPL-3.0-or-later

// Package expr reads the expressions of a charter: small rules in CEL about one
// member, such as
//
//	member.since_days >= 90 && !("suspended" in member.groups)
//	1000000 + min(last.gave_wh, 500000) * 4
//
// The first says who takes part in a round, the second how much she counts, in
// millionths. They are evaluated once at the start of a weighting period; the
// results are recorded, and settlement uses the record ([charter.Terms]).
//
// What a charter decides must come out the same on every computer and in ten
// years, and must not come to a halt on a Sunday in March. So an expression is
// refused when it is checked, not when it is run: it knows whole numbers, text,
// true and false only, no fractions, no time, no loops; it is bounded in size and
// cost; and the checker works out the range of every number in it, so
// that nothing can overflow, divide by zero or give a weight that is not one.
package expr

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/allmende-energy/allmende/commons/charter"
)

// Bounds. An expression of a charter takes some twenty steps; these leave room.
const (
	maxNodes = 200
	maxDepth = 24
	maxCost  = 2000 // of one evaluation, in CEL's units, estimated and at run time
)

// Compiled is an expression that was checked and can be run.
type Compiled struct {
	Name    charter.Name
	Gives   charter.ExpressionKind
	Lowest  int64 // what it can give; of eligibility 0 and 1
	Highest int64
	Asks    []string // the variables that it reads
	program cel.Program
}

// ErrExpression is wrapped by every refusal of an expression.
var ErrExpression = errors.New("not an expression that a charter can have")

func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrExpression, fmt.Errorf(format, args...))
}

// Compile checks an expression and makes it ready to run. Its error says what to
// write instead.
func Compile(e charter.Expression) (*Compiled, error) {
	if len(e.CEL) > charter.MaxExpression {
		return nil, refuse("it is longer than %d bytes; say it shorter, or use groups", charter.MaxExpression)
	}
	env, err := environment()
	if err != nil {
		return nil, err
	}
	parsed, issues := env.Parse(e.CEL)
	if err := issues.Err(); err != nil {
		if strings.Contains(err.Error(), "recursion limit") {
			return nil, refuse("its brackets are nested too deep; say it shorter, or use groups")
		}
		return nil, refuse("it cannot be read: %s; check brackets, quotes and operators", unreadable(err))
	}
	if err := allowed(parsed.NativeRep().Expr()); err != nil {
		return nil, err
	}
	checked, issues := env.Check(parsed)
	if err := issues.Err(); err != nil {
		return nil, refuse("%s; whole numbers go with whole numbers, text with text", firstLine(err))
	}
	c := &Compiled{Name: e.Name, Gives: e.Gives, Asks: asked(parsed.NativeRep().Expr(), nil)}
	if err := c.result(checked); err != nil {
		return nil, err
	}
	cost, err := env.EstimateCost(checked, sizes{})
	if err != nil {
		return nil, refuse("its cost cannot be estimated: %w; say it in a simpler way", err)
	}
	if cost.Max > maxCost {
		return nil, refuse("it may cost %d steps, more than %d; say it in a simpler way", cost.Max, maxCost)
	}
	if c.program, err = env.Program(checked, cel.CostLimit(maxCost)); err != nil {
		return nil, refuse("it cannot be run: %w", err)
	}
	return c, nil
}

// result checks what the expression gives against what it shall give.
func (c *Compiled) result(checked *cel.Ast) error {
	switch want, got := c.Gives, checked.OutputType(); {
	case want == charter.GivesEligible && got.IsExactType(cel.BoolType):
		c.Highest = 1
		_, err := ranges(checked)
		return err
	case want == charter.GivesEligible:
		return refuse("it gives %s, and eligible wants true or false; compare something, such as member.since_days >= 90", typeName(got))
	case !got.IsExactType(cel.IntType):
		return refuse("it gives %s, and weight wants a whole number of millionths; write such as \"member.sites > 1 ? 2000000 : 1000000\", in quotes for the colon", typeName(got))
	}
	span, err := ranges(checked)
	if err != nil {
		return err
	}
	c.Lowest, c.Highest = span.low, span.high
	switch {
	case span.low < 1:
		return refuse("it can give %d, and a weight of nothing divides by zero where nobody else needs energy; write max(1, …) around it, and say with eligible who takes no part", span.low)
	case span.high > int64(charter.MaxWeight):
		return refuse("it can give %d millionths, and a weight is at most %d; write min(%d, …) around what can grow", span.high, charter.MaxWeight, charter.MaxWeight)
	}
	return nil
}

func environment() (*cel.Env, error) {
	options := []cel.EnvOption{
		cel.StdLib(), cel.ClearMacros(),
		cel.ParserExpressionSizeLimit(charter.MaxExpression), cel.ExpressionNodeLimit(maxNodes),
		cel.ParserRecursionLimit(maxDepth), cel.ParserErrorRecoveryLimit(1),
		pick("min", func(a, b types.Int) types.Int { return min(a, b) }),
		pick("max", func(a, b types.Int) types.Int { return max(a, b) }),
	}
	for _, v := range Variables() {
		t := cel.IntType
		switch v.Kind {
		case Text:
			t = cel.StringType
		case TextList:
			t = cel.ListType(cel.StringType)
		case Number:
		}
		options = append(options, cel.Variable(v.Name, t))
	}
	env, err := cel.NewCustomEnv(options...)
	if err != nil {
		return nil, fmt.Errorf("setting up expressions: %w", err)
	}
	return env, nil
}

// pick declares a function of two whole numbers that gives one of them.
func pick(name string, of func(a, b types.Int) types.Int) cel.EnvOption {
	return cel.Function(name, cel.Overload(name+"_int_int", []*cel.Type{cel.IntType, cel.IntType}, cel.IntType,
		cel.BinaryBinding(func(a, b ref.Val) ref.Val {
			x, ok1 := a.(types.Int)
			y, ok2 := b.(types.Int)
			if !ok1 || !ok2 {
				return types.NewErr("%s wants two whole numbers", name)
			}
			return of(x, y)
		})))
}

// run evaluates the expression over one member's facts.
func (c *Compiled) run(facts map[string]any) (int64, error) {
	out, _, err := c.program.Eval(facts)
	if err != nil {
		return 0, fmt.Errorf("expression %q: %w", c.Name, err)
	}
	switch v := out.(type) {
	case types.Bool:
		if v {
			return 1, nil
		}
		return 0, nil
	case types.Int:
		if int64(v) < c.Lowest || int64(v) > c.Highest {
			return 0, fmt.Errorf("expression %q gave %d, outside the range %d to %d that the checker found; report it as a bug", c.Name, v, c.Lowest, c.Highest)
		}
		return int64(v), nil
	}
	return 0, fmt.Errorf("expression %q gave a %T; report it as a bug", c.Name, out)
}

// Check compiles all expressions of a charter; its problems name their fields.
func Check(c *charter.Charter) charter.Problems {
	var p charter.Problems
	for i, e := range c.Expressions {
		if strings.TrimSpace(e.CEL) == "" || len(e.CEL) > charter.MaxExpression || !utf8.ValidString(e.CEL) || e.Gives != charter.GivesEligible && e.Gives != charter.GivesWeight {
			continue // Validate says so
		}
		if _, err := Compile(e); err != nil {
			why := strings.TrimPrefix(err.Error(), ErrExpression.Error()+": ")
			p = append(p, charter.Problem{Path: fmt.Sprintf("expressions[%d].cel", i), Message: why})
		}
	}
	return p
}

// firstLine is the first complaint of CEL, without its place and picture.
// unreadable is what a parser complains of, without the list of all that it would
// rather have had.
func unreadable(err error) string {
	line := strings.TrimPrefix(firstLine(err), "Syntax error: ")
	line, _, _ = strings.Cut(line, " expecting ")
	if strings.Contains(line, "'<EOF>'") {
		return "it ends where something more belongs"
	}
	return line
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	if i := strings.Index(line, ": "); strings.HasPrefix(line, "ERROR: ") && i >= 0 {
		line = line[i+2:]
		if _, rest, found := strings.Cut(line, ": "); found {
			line = rest
		}
	}
	const most = 160
	if len(line) > most {
		line = strings.ToValidUTF8(line[:most], "") + "…"
	}
	return line
}

func typeName(t *cel.Type) string {
	switch {
	case t.IsExactType(cel.BoolType):
		return "true or false"
	case t.IsExactType(cel.StringType):
		return "text"
	case t.IsExactType(cel.IntType):
		return "a whole number"
	}
	return t.String()
}

// limit is the largest magnitude that a number in an expression may reach: far
// from where 64 bits end.
const limit = math.MaxInt64 / 4

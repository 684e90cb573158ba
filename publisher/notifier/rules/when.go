package rules

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/checker"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/vm/runtime"

	"github.com/walherald/walherald/publisher"
)

// The names that an expression knows.
const (
	nameOld    = "old"
	nameNew    = "new"
	nameAction = "action"
	nameTable  = "table"
	nameSchema = "schema"
	nameTopic  = "topic"
)

// hint says what an expression may refer to.
const hint = `; an expression knows old, new, action, table, schema and topic, and columns as new.name or new["name"]`

// expression is the expression of a rule.
type expression struct {
	term   term
	source file.Source
}

// newExpression compiles an expression and checks its types.
func newExpression(text string) (*expression, error) {
	x := &expression{source: file.NewSource(text)}
	// The first check is about what the user wrote, the second about what the rules
	// for nil make of it.
	if _, err := checker.ParseCheck(text, newConfig()); err != nil {
		return nil, x.broken(err)
	}
	config := newConfig(expr.Patch(nilRules{}))
	tree, err := checker.ParseCheck(text, config)
	if err != nil {
		return nil, x.broken(err)
	}
	c := compiler{config: config, source: x.source}
	x.term = c.term(tree.Node)
	if c.err != nil {
		return nil, x.broken(c.err)
	}
	return x, nil
}

// newConfig returns the settings of expr. Its optimizer is left out, because it
// takes values whose types are not known before for what they are compared with.
func newConfig(options ...expr.Option) *conf.Config {
	config := conf.CreateNew()
	env := map[string]any{
		nameOld: map[string]any{}, nameNew: map[string]any{},
		nameAction: "", nameTable: "", nameSchema: "", nameTopic: "",
	}
	options = append(options, expr.Env(env), expr.AsBool(), expr.Optimize(false))
	for operator := range ordering {
		options = append(options, orderingFunction(operator))
	}
	for _, set := range options {
		set(config)
	}
	return config
}

// broken makes an error of one of expr's, whose text has the place in the expression.
func (x *expression) broken(err error) error {
	var at *file.Error
	if !errors.As(err, &at) {
		return fmt.Errorf("is no condition: %w; make it one that is true or false", err)
	}
	at = at.Bind(x.source)
	text := strings.ReplaceAll(at.Message, "\n", " ")
	if strings.Contains(text, "unknown name") {
		text += hint
	}
	return fmt.Errorf("cannot be compiled at %d:%d: %s", at.Line, at.Column+1, text)
}

// explain makes an error of an evaluation that failed.
func (x *expression) explain(f failure) error {
	at := (&file.Error{Location: f.at}).Bind(x.source)
	return fmt.Errorf("cannot be evaluated at %d:%d: %w", at.Line, at.Column+1, f.err)
}

// ordering has the operators that nilRules replaces by functions of the same name,
// which no expression can call.
var ordering = map[string]bool{"<": true, "<=": true, ">": true, ">=": true}

// orderingFunction makes the virtual machine compare as compare does. What only the
// machine knows, such as times, is left to it.
func orderingFunction(operator string) expr.Option {
	op := operators[operator]
	return expr.Function(operator, func(args ...any) (any, error) {
		l, okLeft := scalarOf(args[0])
		r, okRight := scalarOf(args[1])
		if okLeft && okRight {
			v, err := compare(op, &l, &r)
			return v == yes, err
		}
		if args[0] == nil || args[1] == nil {
			return false, nil
		}
		return natively[operator](args[0], args[1]), nil
	}, new(func(l, r any) bool))
}

var natively = map[string]func(l, r any) bool{
	"<": runtime.Less, "<=": runtime.LessOrEqual, ">": runtime.More, ">=": runtime.MoreOrEqual,
}

// nilRules lets nil stand where expr does not: beside operators of order, and for
// false.
type nilRules struct{}

var boolean = reflect.TypeFor[bool]()

// Visit replaces a node whose operands are known only when it is evaluated.
func (nilRules) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.UnaryNode:
		if n.Operator == "!" || n.Operator == "not" {
			orFalse(&n.Node)
		}
	case *ast.ConditionalNode:
		orFalse(&n.Cond)
	case *ast.BinaryNode:
		switch {
		case isJunction(n.Operator):
			orFalse(&n.Left)
			orFalse(&n.Right)
		case ordering[n.Operator] && (isDynamic(n.Left) || isDynamic(n.Right)):
			call := &ast.CallNode{Callee: &ast.IdentifierNode{Value: n.Operator}, Arguments: []ast.Node{n.Left, n.Right}}
			call.SetType(boolean)
			ast.Patch(node, call)
		}
	}
}

// orFalse makes false of nil.
func orFalse(node *ast.Node) {
	if !isDynamic(*node) {
		return
	}
	either := &ast.BinaryNode{Operator: "??", Left: *node, Right: &ast.BoolNode{}}
	either.SetType(boolean)
	ast.Patch(node, either)
}

func isDynamic(n ast.Node) bool { return n.Type().Kind() == reflect.Interface }

func isJunction(operator string) bool {
	return slices.Contains([]string{"&&", "and", "||", "or"}, operator)
}

// compiler makes terms of expr's nodes.
type compiler struct {
	config *conf.Config
	source file.Source
	err    error // the first one
}

func (c *compiler) fail(at ast.Node, format string, args ...any) {
	if c.err == nil {
		c.err = &file.Error{Location: at.Location(), Message: fmt.Sprintf(format, args...)}
	}
}

// term makes a term of a node: a program for the virtual machine if it is nothing
// else.
func (c *compiler) term(node ast.Node) term {
	switch n := node.(type) {
	case *ast.BoolNode:
		return verdictOf(n.Value)
	case *ast.UnaryNode:
		if n.Operator == "!" || n.Operator == "not" {
			return &not{c.term(n.Node)}
		}
	case *ast.CallNode:
		if callee, ok := n.Callee.(*ast.IdentifierNode); ok && ordering[callee.Value] {
			return c.comparison(node, callee.Value, n.Arguments[0], n.Arguments[1])
		}
	case *ast.BinaryNode:
		return c.binary(n)
	}
	if x, ok := operandOf(node); ok {
		return &truth{x, node.Location()}
	}
	return c.program(node)
}

func (c *compiler) binary(n *ast.BinaryNode) term {
	switch n.Operator {
	case "&&", "and":
		return &junction{c.term(n.Left), c.term(n.Right), no}
	case "||", "or":
		return &junction{c.term(n.Left), c.term(n.Right), yes}
	case "??":
		if other, ok := n.Right.(*ast.BoolNode); ok && !other.Value {
			return c.term(n.Left) // nil is false anyway
		}
	case "in":
		return c.listed(n)
	case "matches":
		return c.pattern(n)
	case "==", "!=", "<", "<=", ">", ">=", "contains", "startsWith", "endsWith":
		return c.comparison(n, n.Operator, n.Left, n.Right)
	}
	return c.program(n)
}

func (c *compiler) comparison(node ast.Node, operator string, left, right ast.Node) term {
	l, okLeft := operandOf(left)
	r, okRight := operandOf(right)
	if !okLeft || !okRight {
		return c.program(node)
	}
	if operator == "==" || operator == "!=" {
		c.checkAction(right, &l, &r)
		c.checkAction(left, &r, &l)
	}
	return &comparison{operators[operator], l, r, node.Location()}
}

// checkAction finds comparisons of the action with what is none.
func (c *compiler) checkAction(at ast.Node, x, other *operand) {
	if x.name != nameAction || other.constant.kind != isText {
		return
	}
	for a := publisher.Insert; a <= publisher.LogicalMessage; a++ {
		if a.String() == string(other.constant.text) {
			return
		}
	}
	c.fail(at, "action is never %q; it is one of INSERT, UPDATE, DELETE, TRUNCATE and MESSAGE", other.constant.text)
}

func (c *compiler) listed(n *ast.BinaryNode) term {
	x, ok := operandOf(n.Left)
	array, isArray := n.Right.(*ast.ArrayNode)
	if !ok || !isArray {
		return c.program(n)
	}
	made := &listed{operand: x}
	for _, item := range array.Nodes {
		o, ok := operandOf(item)
		if !ok || o.name != "" || o.isColumn {
			return c.program(n)
		}
		c.checkAction(item, &x, &o)
		made.list = append(made.list, o.constant)
	}
	return made
}

func (c *compiler) pattern(n *ast.BinaryNode) term {
	x, ok := operandOf(n.Left)
	text, isText := n.Right.(*ast.StringNode)
	if !ok || !isText {
		return c.program(n)
	}
	re, err := newTextPattern(text.Value)
	if err != nil {
		c.fail(n.Right, "%s", err)
	}
	return &pattern{x, re, n.Location()}
}

// operandOf returns what a node stands for if it is a constant, a name or a column.
func operandOf(node ast.Node) (_ operand, ok bool) {
	switch n := node.(type) {
	case *ast.NilNode:
		return operand{}, true
	case *ast.BoolNode:
		return operand{constant: scalar{kind: isBoolean, boolean: n.Value}}, true
	case *ast.StringNode:
		return operand{constant: textOf(n.Value)}, true
	case *ast.IdentifierNode:
		known := n.Value == nameAction || n.Value == nameTable || n.Value == nameSchema || n.Value == nameTopic
		return operand{name: n.Value}, known
	case *ast.ChainNode:
		return operandOf(n.Node)
	case *ast.MemberNode:
		return columnOperand(n)
	}
	s, ok := numberOf(node)
	return operand{constant: s}, ok
}

// columnOperand returns the operand of old.name or new.name.
func columnOperand(n *ast.MemberNode) (_ operand, ok bool) {
	row, ok := n.Node.(*ast.IdentifierNode)
	if !ok || row.Value != nameOld && row.Value != nameNew {
		return operand{}, false
	}
	name, ok := n.Property.(*ast.StringNode)
	if !ok {
		return operand{}, false
	}
	return operand{isColumn: true, column: name.Value, old: row.Value == nameOld}, true
}

// numberOf returns the number that a node is, with its sign.
func numberOf(node ast.Node) (s scalar, ok bool) {
	switch n := node.(type) {
	case *ast.IntegerNode:
		return scalar{kind: isInteger, integer: n.Value}, true
	case *ast.FloatNode:
		return scalar{kind: isFloat, float: n.Value}, true
	case *ast.UnaryNode:
		s, ok = numberOf(n.Node)
		switch n.Operator {
		case "-":
			s.integer, s.float = -s.integer, -s.float
			return s, ok
		case "+":
			return s, ok
		}
	}
	return scalar{}, false
}

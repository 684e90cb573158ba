package rules

import (
	"errors"

	"github.com/expr-lang/expr/ast"
	vmcompiler "github.com/expr-lang/expr/compiler"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/vm"

	"github.com/walherald/walherald/publisher"
)

// errValue stands for all errors of the virtual machine, whose texts can have values
// of the row in them.
var errValue = errors.New("an operator, function or member got a value that it does not take, such as nil; guard it with ?? or a comparison")

// program is a term that expr's virtual machine evaluates.
type program struct {
	code    *vm.Program
	source  file.Source
	at      file.Location
	columns []operand // those it looks at
	rows    bool      // it looks at rows as a whole
	clock   bool      // it looks at the time

	slots []int // of the columns, once bound
	topic any   // a string
}

// program makes a program of a node.
func (c *compiler) program(node ast.Node) term {
	code, err := vmcompiler.Compile(&parser.Tree{Node: node, Source: c.source}, c.config)
	if err != nil {
		c.fail(node, "%s", err)
		return no
	}
	find := columnFinder{}
	ast.Walk(&node, &find)
	return &program{
		code: code, source: c.source, at: node.Location(),
		columns: find.columns, rows: find.rows > len(find.columns), clock: find.clock,
	}
}

// columnFinder finds what a program looks at.
type columnFinder struct {
	columns []operand
	rows    int // how often there is old, new or the whole environment
	clock   bool
}

// Visit looks at one node. The row of a column is a node of its own.
func (f *columnFinder) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.MemberNode:
		if x, ok := columnOperand(n); ok {
			f.columns = append(f.columns, x)
		}
	case *ast.BuiltinNode:
		f.clock = f.clock || n.Name == "now"
	case *ast.IdentifierNode:
		f.clock = f.clock || n.Value == "now"
		if n.Value == nameOld || n.Value == nameNew || n.Value == "$env" {
			f.rows++
		}
	}
}

func (g *program) bind(b *binding) (_ term, missing string) {
	bound := *g
	bound.topic = b.topic
	for i := range g.columns {
		x, lacking := g.columns[i].bind(b)
		if missing == "" {
			missing = lacking
		}
		if x.isColumn {
			bound.slots = append(bound.slots, x.slot)
		}
	}
	if g.rows {
		bound.slots = b.allSlots()
	}
	if len(bound.slots) == 0 && !g.clock {
		return bound.fold(b), missing
	}
	return &bound, missing
}

// fold evaluates a program that is the same for all events of an action.
func (g *program) fold(b *binding) term {
	p := Plan{table: b.plan.table, event: &publisher.Event{Action: b.action}}
	p.cells.next()
	if v := g.holds(&p); v != failed {
		return v
	}
	return g
}

// allSlots returns the cells of all columns of the rows that there are.
func (b *binding) allSlots() (slots []int) {
	for i, c := range b.plan.table.Columns {
		for _, old := range []bool{false, true} {
			if hasRow(b.action, old) {
				slots = append(slots, b.plan.cells.slot(column{index: i, old: old, key: c.Key}))
			}
		}
	}
	return slots
}

func (g *program) holds(p *Plan) verdict {
	env := p.vm.ready(p, g.topic)
	unseen := p.unseen
	for _, slot := range g.slots {
		p.vm.set(p, slot)
	}
	if g.rows {
		p.unseen = unseen // of a whole row it may want what there is
	}
	v, err := p.vm.vm.Run(g.code, env)
	if err != nil {
		return p.fail(g.whatFailed(err))
	}
	return verdictOf(v == true)
}

// whatFailed returns the place and reason of an error of the virtual machine.
func (g *program) whatFailed(err error) (file.Location, error) {
	at, reason := g.at, errValue
	var broken *file.Error
	if errors.As(err, &broken) {
		at = broken.Location
	}
	if errors.Is(err, errOrder) {
		reason = errOrder
	}
	return at, reason
}

// machine is expr's virtual machine and the environment of the plan's event.
type machine struct {
	vm       vm.VM
	env      map[string]any
	old, new map[string]any
	round    uint64 // of the cells, which env is for
}

// ready returns the environment for the plan's event, in which columns have to be
// set yet.
func (m *machine) ready(p *Plan, topic any) map[string]any {
	if m.env == nil {
		m.old, m.new = make(map[string]any), make(map[string]any)
		m.env = map[string]any{nameOld: m.old, nameNew: m.new, nameTable: p.table.Name, nameSchema: p.table.Schema}
	}
	if m.round != p.cells.round {
		m.round = p.cells.round
		clear(m.old)
		clear(m.new)
		m.env[nameAction], m.env[nameTopic] = actions[p.event.Action], topic
	}
	return m.env
}

// set sets a column in the environment if the log holds it.
func (m *machine) set(p *Plan, slot int) {
	c := p.look(slot)
	row, name := m.new, p.table.Columns[c.index].Name
	if c.old {
		row = m.old
	}
	if _, there := row[name]; !there && c.known {
		row[name] = c.value.value()
	}
}

// actions has the texts of the actions ready for the environment.
var actions = func() (all [publisher.LogicalMessage + 1]any) {
	for a := range all {
		all[a] = publisher.Action(a).String()
	}
	return all
}()

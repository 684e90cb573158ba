package text

import (
	"strconv"
	"strings"
	"text/template/parse"
)

// Functions that templates do not call by themselves.
const (
	printName = "_print"
	stepName  = "_step"
)

// prepare makes every action below list that prints end in the function that knows
// how to print a value, and lets the template and each turn of its ranges begin
// with a step.
func prepare(list *parse.ListNode) {
	if list == nil {
		return
	}
	prepareNodes(list)
	list.Nodes = append([]parse.Node{stepNode(list.Pos)}, list.Nodes...)
}

func prepareNodes(list *parse.ListNode) {
	if list == nil {
		return
	}
	for _, n := range list.Nodes {
		switch n := n.(type) {
		case *parse.ActionNode:
			preparePipe(n.Pipe)
		case *parse.IfNode:
			prepareNodes(n.List)
			prepareNodes(n.ElseList)
		case *parse.WithNode:
			prepareNodes(n.List)
			prepareNodes(n.ElseList)
		case *parse.RangeNode:
			prepare(n.List)
			prepareNodes(n.ElseList)
		}
	}
}

// preparePipe lets a pipeline that prints end in printName, which is told the
// pipeline's source for its error.
func preparePipe(pipe *parse.PipeNode) {
	if len(pipe.Decl) > 0 {
		return
	}
	source := pipe.String()
	if strings.ContainsAny(source, "\"`'") || len(source) > 100 {
		source = "this"
	}
	shown := &parse.StringNode{NodeType: parse.NodeString, Pos: pipe.Pos, Quoted: strconv.Quote(source), Text: source}
	pipe.Cmds = append(pipe.Cmds, command(pipe.Pos, printName, shown))
}

func stepNode(pos parse.Pos) parse.Node {
	pipe := &parse.PipeNode{NodeType: parse.NodePipe, Pos: pos, Cmds: []*parse.CommandNode{command(pos, stepName)}}
	return &parse.ActionNode{NodeType: parse.NodeAction, Pos: pos, Pipe: pipe}
}

func command(pos parse.Pos, function string, args ...parse.Node) *parse.CommandNode {
	first := parse.NewIdentifier(function).SetPos(pos)
	return &parse.CommandNode{NodeType: parse.NodeCommand, Pos: pos, Args: append([]parse.Node{first}, args...)}
}

package rules

import "github.com/walherald/walherald/publisher"

// maxScratch is the largest buffer, in bytes, that is kept for the next event.
const maxScratch = 1 << 20

// cells are the values of one event that expressions look at, each of them read at
// most once.
type cells struct {
	all     []cell
	round   uint64 // counts events
	scratch []byte // what the texts of scalars are part of
}

// cell is one column of one row.
type cell struct {
	column
	round uint64 // in which value was read
	known bool
	value scalar
}

// slot returns the index of the column's cell.
func (cs *cells) slot(c column) int {
	for i := range cs.all {
		if cs.all[i].column == c {
			return i
		}
	}
	cs.all = append(cs.all, cell{column: c})
	return len(cs.all) - 1
}

// next begins another event.
func (cs *cells) next() {
	cs.round++
	if cs.scratch = cs.scratch[:0]; cap(cs.scratch) > maxScratch {
		cs.scratch = nil // what one huge value made of it is given back
	}
}

// look returns the cell with its value in the plan's event, in the form that it has
// in message bodies. What the log does not hold is nil, and the plan is told.
func (p *Plan) look(slot int) *cell {
	c := &p.cells.all[slot]
	if c.round != p.cells.round {
		p.read(c)
	}
	if !c.known {
		p.unseen = c.index
	}
	return c
}

// read sets the cell's value.
func (p *Plan) read(c *cell) {
	v := c.column.value(p.event)
	c.round = p.cells.round
	c.known, c.value = known(v), scalar{}
	if v.Kind != publisher.Text {
		return
	}
	buf := p.cells.scratch
	start := len(buf)
	buf = p.table.Columns[c.index].AppendJSON(buf, v.Text)
	c.value, p.cells.scratch = parseJSON(buf[start:], buf)
}

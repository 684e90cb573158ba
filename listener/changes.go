package listener

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/walherald/walherald/listener/pgoutput"
	"github.com/walherald/walherald/publisher"
)

// sink takes the events of one session. The window behind it may make it wait.
type sink interface {
	// emit hands one event on. It returns an error only if the session ends.
	emit(p *plan, e *publisher.Event) error
	// begin and commit frame a transaction that ends at end.
	begin()
	commit(end pgoutput.LSN)
}

// changes turns the messages of one replication session into events: it knows
// the open transaction and the tables, and nothing of sockets.
type changes struct {
	ctx       context.Context // of the session
	router    *router
	sink      sink
	describer describer // or nil
	source    func(pgoutput.LSN) uint32
	max       uint64 // changes of one transaction that go on; 0 means all
	// tooLarge is told once of a transaction that has more.
	tooLarge func(xid uint32)

	// sent is when the server sent the message that is handled, by its clock.
	sent pgoutput.Timestamp

	decoder pgoutput.Decoder
	// relations are the tables as the session has described them, plans what was made
	// of them.
	relations map[uint32]*pgoutput.Relation
	plans     map[uint32]*plan
	last      uint32 // the table of the last change, and its plan
	plan      *plan
	messages  map[string]*plan // of logical messages, by prefix
	digest    uint32           // of the source of the open transaction
	open      bool
	told      bool            // tooLarge has been told of the open transaction
	next      uint64          // ordinal of the next change
	counted   uint64          // changes of the open transaction that metrics know of
	event     publisher.Event // of the current change, used again for the next
	masker    *masker
	base64    []byte // the content of the current logical message
}

func newChanges(ctx context.Context, r *router, s sink, d describer, source func(pgoutput.LSN) uint32, maxSize int, tooLarge func(xid uint32)) *changes {
	return &changes{
		ctx: ctx, router: r, sink: s, describer: d, source: source, max: uint64(maxSize), tooLarge: tooLarge,
		relations: make(map[uint32]*pgoutput.Relation), plans: make(map[uint32]*plan), messages: make(map[string]*plan), masker: newMasker(r.cfg.MaskKey),
	}
}

// handle takes one message of the output plugin. Its error is fatal: the
// stream cannot be understood, or the session has ended.
func (c *changes) handle(data []byte) error {
	msg, err := c.decoder.Decode(data)
	if err != nil {
		return err
	}
	switch m := msg.(type) {
	case *pgoutput.Insert:
		return c.row(publisher.Insert, m.RelationID, &m.New, nil, pgoutput.OldNone)
	case *pgoutput.Update:
		return c.row(publisher.Update, m.RelationID, &m.New, m.Old, m.OldKind)
	case *pgoutput.Delete:
		return c.row(publisher.Delete, m.RelationID, nil, &m.Old, m.OldKind)
	case *pgoutput.Begin:
		if c.open {
			return fmt.Errorf("handle begin of the transaction at %v: the one before has not ended", m.FinalLSN)
		}
		c.begin(m.FinalLSN, m.XID, m.CommitTime)
	case *pgoutput.Commit:
		if !c.open {
			return fmt.Errorf("handle commit at %v: no transaction has begun", m.CommitLSN)
		}
		c.commit(m.EndLSN)
	case *pgoutput.Relation:
		return c.relation(m)
	case *pgoutput.Truncate:
		return c.truncate(m)
	case *pgoutput.Type:
		if c.describer != nil {
			c.describer.learn(m)
		}
	case *pgoutput.LogicalMessage:
		return c.message(m)
	case *pgoutput.Origin:
		// Origins do not matter once the server has selected by them.
	}
	return nil
}

// begin opens a transaction. All its changes have the position lsn.
func (c *changes) begin(lsn pgoutput.LSN, xid uint32, at pgoutput.Timestamp) {
	c.open, c.told, c.next, c.counted, c.digest = true, false, 0, 0, c.source(lsn)
	e := &c.event
	e.LSN, e.XID = uint64(lsn), xid
	e.CommitTime = at.UnixMicro()
	e.CommitTimeText = at.Time().AppendFormat(e.CommitTimeText[:0], "2006-01-02T15:04:05.000000Z07:00")
	c.sink.begin()
}

// commit closes the transaction, which ends at end.
func (c *changes) commit(end pgoutput.LSN) {
	c.open = false
	c.count()
	c.sink.commit(end)
}

// countEvery is after how many changes of a large transaction they are counted.
const countEvery = 4096

// count counts the changes read since it did last.
func (c *changes) count() {
	c.router.met.Changes(int(c.next - c.counted))
	c.counted = c.next
}

// relation takes the description of a table, which holds until the next one.
func (c *changes) relation(m *pgoutput.Relation) error {
	p, err := c.planFor(m)
	if err != nil {
		return err
	}
	kept := *m // the decoder uses m again
	kept.Columns = slices.Clone(m.Columns)
	c.relations[m.ID], c.plans[m.ID] = &kept, p
	c.plan = nil
	return nil
}

// temporaryError ends a session and not the listener.
type temporaryError struct{ err error }

func (e *temporaryError) Error() string { return e.err.Error() }
func (e *temporaryError) Unwrap() error { return e.err }

func (c *changes) truncate(m *pgoutput.Truncate) error {
	for _, id := range m.RelationIDs {
		if err := c.row(publisher.Truncate, id, nil, nil, pgoutput.OldNone); err != nil {
			return err
		}
	}
	return nil
}

// row handles one change of one table.
func (c *changes) row(a publisher.Action, relation uint32, newRow, oldRow *pgoutput.Tuple, old pgoutput.OldKind) error {
	if !c.open {
		return fmt.Errorf("handle %s of relation %d: change outside of a transaction", a, relation)
	}
	p, err := c.planOf(relation)
	if err != nil {
		return fmt.Errorf("handle %s: %w", a, err)
	}
	passes, err := c.admit(p, a)
	if !passes {
		return err
	}
	if p.skipUnchanged && old == pgoutput.OldFull && p.unchanged(newRow, oldRow) {
		p.filtered.Inc()
		return nil
	}
	c.masker.next()
	e := &c.event
	if e.New, err = c.values(e.New[:0], p, newRow, pgoutput.OldNone); err != nil {
		return err
	}
	if e.Old, err = c.values(e.Old[:0], p, oldRow, old); err != nil {
		return err
	}
	return c.sink.emit(p, e)
}

// admit takes the next ordinal and reports whether the change that has it goes
// on; if so, all but the rows of the event is set. The ordinal counts every
// change the server sends, so that no filter of ours moves the ids of the others.
func (c *changes) admit(p *plan, a publisher.Action) (passes bool, err error) {
	e := &c.event
	e.Ordinal = c.next
	if c.next++; c.next-c.counted >= countEvery {
		c.count()
	}
	if !p.pass[a] || c.beyondMax(e) {
		p.filtered.Inc()
		return false, nil
	}
	e.Action, e.Table = a, p.table
	e.ID, err = publisher.NewID(e.LSN, e.Ordinal, c.digest)
	return err == nil, err
}

// planOf returns the plan of a table whose Relation message has come.
func (c *changes) planOf(relation uint32) (*plan, error) {
	if c.plan != nil && c.last == relation {
		return c.plan, nil
	}
	p := c.plans[relation]
	if p == nil {
		return nil, &undescribedError{relation}
	}
	c.last, c.plan = relation, p
	return p, nil
}

// undescribedError is a change of a table that the session knows nothing of. A
// server can forget to describe one, as PostgreSQL 13 does when a publication's
// publish_via_partition_root changes; to a new session it describes all again.
type undescribedError struct{ relation uint32 }

func (e *undescribedError) Error() string {
	return fmt.Sprintf("relation %d was never described", e.relation)
}

// beyondMax reports whether listener.maxTransactionSize drops the change.
func (c *changes) beyondMax(e *publisher.Event) bool {
	if c.max == 0 || e.Ordinal < c.max {
		return false
	}
	if !c.told {
		c.told = true
		c.tooLarge(e.XID)
	}
	return true
}

// unchanged reports whether an update whose complete old row is known changed
// nothing that leaves. Values are compared as the database wrote them, before
// any mask; what the log leaves out as unchanged is.
func (p *plan) unchanged(newRow, oldRow *pgoutput.Tuple) bool {
	if newRow == nil || len(newRow.Columns) != len(oldRow.Columns) || len(oldRow.Columns) != len(p.table.Columns) {
		return false
	}
	for i := range newRow.Columns {
		n, o := &newRow.Columns[i], &oldRow.Columns[i]
		same := n.Kind == pgoutput.Unchanged || n.Kind == o.Kind && bytes.Equal(n.Data, o.Data)
		if !same && (p.hidden == nil || !p.hidden[i]) {
			return false
		}
	}
	return true
}

// values appends the tuple's values, one for each column of the table, masked
// where they have to be. A nil tuple has none; a column that never leaves has an
// absent one.
func (c *changes) values(dst []publisher.Value, p *plan, t *pgoutput.Tuple, old pgoutput.OldKind) ([]publisher.Value, error) {
	if t == nil {
		return dst, nil
	}
	if len(t.Columns) != len(p.table.Columns) {
		return dst, fmt.Errorf("handle row of %s: %d columns where its description has %d",
			p.qualified, len(t.Columns), len(p.table.Columns))
	}
	for i := range t.Columns {
		v := publisher.Value{Text: t.Columns[i].Data}
		switch t.Columns[i].Kind {
		case pgoutput.Text:
			v.Kind = publisher.Text
		case pgoutput.Null:
			v.Kind = publisher.Null
			if old == pgoutput.OldKey && !p.table.Columns[i].Key {
				v.Kind = publisher.Absent // the log has the key only
			}
		case pgoutput.Unchanged:
			v.Kind = publisher.Unchanged
		default:
			return dst, fmt.Errorf("handle row of %s: column %s is in binary form, which was not asked for",
				p.qualified, p.table.Columns[i].Name)
		}
		if p.masks != nil && p.masks[i] != maskNone {
			v = c.masker.mask(v, p.masks[i])
		}
		if p.hidden != nil && p.hidden[i] {
			v = publisher.Value{}
		}
		dst = append(dst, v)
	}
	return dst, nil
}

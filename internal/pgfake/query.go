package pgfake

import (
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/walherald/walherald/listener/pgoutput"
)

// Null is the value that stands for NULL in a [Reply]; no text of PostgreSQL
// can hold it.
const Null = "\x00"

// Reply answers a query: with rows, all of one length, with an error, or not.
type Reply struct {
	rows   [][]string
	err    *pgproto3.ErrorResponse
	silent bool
}

// Nothing is the answer without a row.
func Nothing() Reply { return Reply{} }

// Row is the answer of one row.
func Row(values ...string) Reply { return Reply{rows: [][]string{values}} }

// Error is the answer that the server refuses with a code (PostgreSQL
// documentation, appendix A). The connection stays usable.
func Error(code, message string) Reply { return Reply{err: failure("ERROR", code, message)} }

// Silence is no answer: the connection hangs until the client leaves.
func Silence() Reply { return Reply{silent: true} }

// Rule answers the queries it is about; for others ok is false.
type Rule func(sql string) (r Reply, ok bool)

// On answers every query that contains text.
func On(text string, r Reply) Rule {
	return func(sql string) (Reply, bool) { return r, strings.Contains(sql, text) }
}

// Otherwise answers everything. It is the last rule where no rows, the answer to
// what no rule is about, will not do.
func Otherwise(r Reply) Rule { return On("", r) }

// Table answers a query of one table with one row, whichever columns it selects
// and in which order: values holds those that are not null, by the expression
// that selects them without its cast.
func Table(name string, values map[string]string) Rule {
	return func(sql string) (Reply, bool) {
		list, rest, ok := strings.Cut(strings.TrimPrefix(sql, "SELECT "), " FROM ")
		if !ok || !strings.HasPrefix(rest, name+" ") {
			return Reply{}, false
		}
		var row []string
		for item := range strings.SplitSeq(list, ",") {
			column, _, _ := strings.Cut(strings.TrimSpace(item), "::")
			value, ok := values[column]
			if !ok {
				value = Null
			}
			row = append(row, value)
		}
		return Row(row...), true
	}
}

// Answer answers queries by the first rule that is about them, without rows if
// there is none, until START_REPLICATION, which begins the stream unless a rule
// is about it. The extended protocol is refused.
func Answer(rules ...Rule) Step {
	return func(c *Conn) error {
		for {
			msg, err := c.backend.Receive()
			if err != nil {
				return err
			}
			switch m := msg.(type) {
			case *pgproto3.Query:
				streams, err := c.answer(m.String, rules)
				if streams || err != nil {
					return err
				}
			case *pgproto3.Parse:
				err = c.send(failure("ERROR", "0A000", "extended query protocol is not supported"))
			case *pgproto3.Sync:
				err = c.send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
			case *pgproto3.Terminate:
				return errEnd
			}
			if err != nil {
				return err
			}
		}
	}
}

// answer answers one query and reports whether it began the stream.
func (c *Conn) answer(sql string, rules []Rule) (streams bool, err error) {
	c.server.note(func() { c.server.queries = append(c.server.queries, sql) })
	start, streams := strings.CutPrefix(sql, "START_REPLICATION SLOT ")
	if streams {
		if err := c.asked(start); err != nil {
			return false, err
		}
	}
	for _, rule := range rules {
		if r, ok := rule(sql); ok {
			return false, c.reply(r)
		}
	}
	if !streams {
		return false, c.reply(Nothing())
	}
	c.listen()
	return true, c.send(&pgproto3.CopyBothResponse{})
}

// asked notes the position a stream is asked for: "name LOGICAL 0/10 (...)".
func (c *Conn) asked(start string) error {
	fields := strings.Fields(start)
	if len(fields) < 3 {
		return fmt.Errorf("START_REPLICATION SLOT %s: no position", start)
	}
	lsn, err := pgoutput.ParseLSN(fields[2])
	if err != nil {
		return fmt.Errorf("START_REPLICATION SLOT %s: %w", start, err)
	}
	c.server.note(func() { c.server.starts = append(c.server.starts, lsn) })
	return nil
}

// reply sends an answer.
func (c *Conn) reply(r Reply) error {
	ready := &pgproto3.ReadyForQuery{TxStatus: 'I'}
	if r.err != nil {
		return c.send(r.err, ready)
	}
	if r.silent {
		return Hang()(c)
	}
	var messages []pgproto3.BackendMessage
	for i, row := range r.rows {
		values := make([][]byte, len(row))
		fields := make([]pgproto3.FieldDescription, len(row))
		for j, value := range row {
			fields[j] = pgproto3.FieldDescription{Name: fmt.Appendf(nil, "c%d", j), DataTypeOID: 25, DataTypeSize: -1, TypeModifier: -1}
			if value != Null {
				values[j] = []byte(value)
			}
		}
		if i == 0 {
			messages = append(messages, &pgproto3.RowDescription{Fields: fields})
		}
		messages = append(messages, &pgproto3.DataRow{Values: values})
	}
	if len(r.rows) == 0 {
		messages = append(messages, &pgproto3.RowDescription{})
	}
	done := fmt.Appendf(nil, "SELECT %d", len(r.rows))
	return c.send(append(messages, &pgproto3.CommandComplete{CommandTag: done}, ready)...)
}

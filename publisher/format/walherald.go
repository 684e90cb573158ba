package format

import (
	"strconv"

	"github.com/walherald/walherald/publisher"
)

// Walherald is the default envelope. Its bodies are JSON objects with these
// members in this order:
//
//	id                     the event's id, a UUID, equal on every redelivery
//	schema, table          the names as the database spells them
//	action                 INSERT, UPDATE, DELETE, TRUNCATE or MESSAGE
//	data                   the row after the change, column by column; {} if there is none
//	dataOld                the row before the change, as far as the log holds it
//	commitTime             when the transaction committed, RFC 3339 in UTC with microseconds;
//	                       of a message outside of transactions, when the server sent it
//	unchangedToastedValues the columns that data lacks because the statement did not
//	                       change them and the log leaves out large unchanged values
//	tags                   the configured tags, sorted by name
//	lsn                    the position of the commit record, such as "0/16B3748"; of a
//	                       message outside of transactions, the last byte of its record
//	xid                    the transaction's number; 0 outside of transactions
//	seq                    the change's number within its transaction, from 0; changes
//	                       that are not sent count too
//	source                 database and slot: where the change was read from
//
// The order of changes is that of (lsn, seq); lsn compares as two hexadecimal
// numbers, not as text. The event of a logical message has neither schema nor
// table; its data are prefix, transactional and content, or contentBase64 for
// content that is not UTF-8. A large value that did not change is taken from the old
// row where that holds it. The members up to tags are those of wal-listener.
type Walherald struct {
	// Source is what the member source tells.
	Source Source
}

// Plan implements [Envelope].
func (w Walherald) Plan(t *publisher.Table, tags map[string]string) Plan {
	p := newWalheraldPlan(t, tags, w.Source)
	return &p
}

// walheraldPlan holds the parts of a body that are the same in every event.
type walheraldPlan struct {
	walListenerPlan
	source []byte // from the end of seq to the end
}

func newWalheraldPlan(t *publisher.Table, tags map[string]string, s Source) walheraldPlan {
	p := walheraldPlan{walListenerPlan: newWalListenerPlan(t, tags)}
	p.tags = append(p.tags, `,"lsn":"`...)
	p.source = appendMember(nil, `,"source":{"database":`, s.Database)
	p.source = append(appendMember(p.source, `,"slot":`, s.Slot), `}}`...)
	return p
}

// Append implements [Plan].
func (p *walheraldPlan) Append(dst []byte, e *publisher.Event) []byte {
	dst = p.appendMembers(dst, e)
	dst = publisher.AppendLSN(dst, e.LSN)
	dst = append(dst, `","xid":`...)
	dst = strconv.AppendUint(dst, uint64(e.XID), 10)
	dst = append(dst, `,"seq":`...)
	dst = strconv.AppendUint(dst, e.Ordinal, 10)
	return append(dst, p.source...)
}

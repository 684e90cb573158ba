package pgoutput

// Begin opens a transaction. All messages up to the Commit belong to it.
type Begin struct {
	// FinalLSN is the position of the transaction's commit record.
	FinalLSN LSN
	// CommitTime is when the transaction committed.
	CommitTime Timestamp
	// XID is the transaction's number.
	XID uint32
}

func (m *Begin) decode(src []byte) error {
	r := newReader(src)
	m.FinalLSN = r.lsn()
	m.CommitTime = r.timestamp()
	m.XID = r.uint32()
	return r.finish("Begin")
}

// Commit closes a transaction.
type Commit struct {
	// CommitLSN is the position of the commit record, the FinalLSN of the Begin.
	CommitLSN LSN
	// EndLSN is the position after the commit record: once it is confirmed, the
	// transaction is not sent again.
	EndLSN LSN
	// CommitTime is when the transaction committed.
	CommitTime Timestamp
}

func (m *Commit) decode(src []byte) error {
	r := newReader(src)
	r.uint8() // flags, of which none is in use
	m.CommitLSN = r.lsn()
	m.EndLSN = r.lsn()
	m.CommitTime = r.timestamp()
	return r.finish("Commit")
}

// Origin says that the transaction was replicated to the server from another
// one. It comes after the Begin.
type Origin struct {
	// CommitLSN is the position of the commit record on the origin server.
	CommitLSN LSN
	// Name is the origin's name; a view.
	Name []byte
}

func (m *Origin) decode(src []byte) error {
	r := newReader(src)
	m.CommitLSN = r.lsn()
	m.Name = r.cstring()
	return r.finish("Origin")
}

// LogicalMessage is what pg_logical_emit_message wrote to the log. It is sent
// only if the option messages is on.
type LogicalMessage struct {
	// Transactional says that the message belongs to the open transaction;
	// others come outside of any Begin and Commit.
	Transactional bool
	// LSN is the position of the message.
	LSN LSN
	// Prefix and Content are what the function was given; views.
	Prefix, Content []byte
}

func (m *LogicalMessage) decode(src []byte) error {
	r := newReader(src)
	m.Transactional = r.uint8()&1 != 0
	m.LSN = r.lsn()
	m.Prefix = r.cstring()
	m.Content = r.sized()
	return r.finish("Message")
}

package nats

import (
	"strconv"
	"unsafe"

	"github.com/nats-io/nats.go"

	"github.com/walherald/walherald/publisher"
)

// outgoing is the one message that is filled and sent again and again: its
// header map and the values in it are made once for a batch.
type outgoing struct {
	msg    nats.Msg
	id     []string
	beside *beside // or nil
	parent []string
}

func newOutgoing(b *beside) *outgoing {
	id := []string{""}
	return &outgoing{id: id, parent: []string{""}, msg: nats.Msg{Header: nats.Header{HeaderID: id}}, beside: b}
}

// send publishes the message. The client has copied everything when it returns.
func (o *outgoing) send(nc *nats.Conn, m *publisher.Message, reply, id string) error {
	o.id[0] = id
	o.msg.Subject, o.msg.Reply, o.msg.Data = m.Topic, reply, m.Body
	if o.beside != nil {
		o.beside.fill(o.msg.Header, m)
	}
	return nc.PublishMsg(&o.msg)
}

// messageID sets the header by which the server drops repeats.
func (o *outgoing) messageID(id string) { o.msg.Header[nats.MsgIdHdr] = []string{id} }

// trace writes the header traceparent, or none if there is no parent.
func (o *outgoing) trace(parent string) {
	if parent == "" {
		delete(o.msg.Header, publisher.HeaderTraceParent)
		return
	}
	o.parent[0] = parent
	o.msg.Header[publisher.HeaderTraceParent] = o.parent
}

// expectAfter makes the server refuse the message unless seq is the stream's
// last sequence.
func (o *outgoing) expectAfter(seq uint64) {
	o.msg.Header[nats.ExpectedLastSeqHdr] = []string{strconv.FormatUint(seq, 10)}
}

// expectAfterID makes the server refuse the message unless the stream's last
// message has this message id.
func (o *outgoing) expectAfterID(id string) {
	o.msg.Header[nats.ExpectedLastMsgIdHdr] = []string{id}
}

func (o *outgoing) expectNothing() { delete(o.msg.Header, nats.ExpectedLastSeqHdr) }

// texts are many short strings that share one buffer, which the next batch uses
// again: the client copies what it is given before send returns, so nothing is
// left to point to the old bytes. A string that is kept has to be cloned.
type texts struct {
	buf  []byte
	ends []int
	at   int
}

// reset forgets all strings.
func (t *texts) reset() { t.buf, t.ends, t.at = t.buf[:0], t.ends[:0], 0 }

// end ends the string appended to buf.
func (t *texts) end() { t.ends = append(t.ends, len(t.buf)) }

// id adds what the headers hold of a message: its id and what that is unique
// within. The same position can hold another change on another timeline, which
// the server must not take for a repeat.
func (t *texts) id(m *publisher.Message) {
	t.buf, _ = m.ID.AppendText(t.buf)
	t.buf = append(t.buf, '.')
	t.buf = append(t.buf, m.Writer...)
	t.end()
}

// next returns the strings one after the other, valid until reset.
func (t *texts) next() string {
	start := 0
	if t.at > 0 {
		start = t.ends[t.at-1]
	}
	t.at++
	text := t.buf[start:t.ends[t.at-1]]
	return unsafe.String(unsafe.SliceData(text), len(text))
}

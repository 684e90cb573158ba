package nats

import (
	"strconv"

	"github.com/nats-io/nats.go"

	"github.com/walherald/walherald/publisher"
)

// outgoing is the one message that is filled and sent again and again: its
// header map and the values in it are made once for a batch.
type outgoing struct {
	msg nats.Msg
	id  []string
}

func newOutgoing(writer string) *outgoing {
	id := []string{""}
	return &outgoing{id: id, msg: nats.Msg{Header: nats.Header{HeaderID: id, HeaderWriter: {writer}}}}
}

// send publishes the message. The client has copied everything when it returns.
func (o *outgoing) send(nc *nats.Conn, subject, reply, id string, body []byte) error {
	o.id[0] = id
	o.msg.Subject, o.msg.Reply, o.msg.Data = subject, reply, body
	return nc.PublishMsg(&o.msg)
}

// messageID sets the header by which the server drops repeats.
func (o *outgoing) messageID(id string) { o.msg.Header[nats.MsgIdHdr] = []string{id} }

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

// texts are many short strings cut from one: a batch costs a few allocations
// instead of some per message.
type texts struct {
	buf  []byte
	all  string
	ends []int
	at   int
}

func newTexts(n int) *texts {
	return &texts{ends: make([]int, 0, n), buf: make([]byte, 0, n*64)}
}

// end ends the string appended to buf.
func (t *texts) end() { t.ends = append(t.ends, len(t.buf)) }

// id adds the text of an id.
func (t *texts) id(id publisher.ID) {
	t.buf, _ = id.AppendText(t.buf)
	t.end()
}

// seal makes the strings; nothing can be added any more.
func (t *texts) seal() *texts {
	t.all, t.buf = string(t.buf), nil
	return t
}

// next returns the strings one after the other.
func (t *texts) next() string {
	start := 0
	if t.at > 0 {
		start = t.ends[t.at-1]
	}
	t.at++
	return t.all[start:t.ends[t.at-1]]
}

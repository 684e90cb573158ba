package listener

import (
	"encoding/base64"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/listener/pgoutput"
	"github.com/walherald/walherald/metrics"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/format"
)

// Logical messages are what pg_logical_emit_message writes to the log. Each is
// an event of a table that has no schema and no name, with these columns.
const (
	messagePrefix = iota
	messageTransactional
	messageContent // one of these two
	messageBase64  // for content that is not UTF-8
	messageColumns
)

// messageSchema stands for the schema where a message's topic is made.
const messageSchema = "message"

// anyMessage is the metrics' name for messages whose prefixes are not bounded
// by the configuration.
const anyMessage = messageSchema + "." + config.AnyPrefix

// maxMessagePlans bounds the prefixes whose plans are kept.
const maxMessagePlans = 1024

// maxBase64 is the largest buffer, in bytes, that is kept for the next message.
const maxBase64 = 1 << 20

// messagePlan makes the plan of the messages with a prefix.
func (r *router) messagePlan(prefix string) (*plan, error) {
	listed := slices.Contains(r.cfg.Messages, prefix)
	p := &plan{
		table: &publisher.Table{Columns: []publisher.Column{
			messagePrefix:        {Name: "prefix", Key: true, AppendJSON: format.AppendString},
			messageTransactional: {Name: "transactional", AppendJSON: appendBool},
			messageContent:       {Name: "content", AppendJSON: format.AppendString},
			messageBase64:        {Name: "contentBase64", AppendJSON: format.AppendString},
		}},
		qualified: anyMessage,
	}
	if listed {
		p.qualified = messageSchema + "." + prefix
	}
	p.pass[publisher.LogicalMessage] = listed || slices.Contains(r.cfg.Messages, config.AnyPrefix)
	return p, r.finish(p, messageSchema, prefix, func(*Route) []int { return []int{messagePrefix} })
}

// message handles a logical message. One that belongs to no transaction is
// treated as one of its own.
func (c *changes) message(m *pgoutput.LogicalMessage) error {
	if m.Transactional != c.open {
		return fmt.Errorf("handle logical message at %v: transactional is %t, transaction open is %t", m.LSN, m.Transactional, c.open)
	}
	if m.Transactional {
		return c.emitMessage(m)
	}
	// The position is the end of the message's record, where the next commit
	// record may begin, so the id is made of the byte before: it lies inside
	// the record, and no two records share a byte.
	c.begin(m.LSN-1, 0, c.sent)
	if err := c.emitMessage(m); err != nil {
		return err
	}
	c.commit(m.LSN)
	return nil
}

func (c *changes) emitMessage(m *pgoutput.LogicalMessage) error {
	p, err := c.messagePlan(m.Prefix)
	if err != nil {
		return err
	}
	passes, err := c.admit(p, publisher.LogicalMessage)
	if !passes {
		return err
	}
	c.event.New = c.messageValues(c.event.New[:0], m)
	c.event.Old = c.event.Old[:0]
	return c.sink.emit(p, &c.event)
}

// messagePlan returns the plan of a prefix. When there are too many to be kept
// all are made anew: prefixes come from whoever may write to the log.
func (c *changes) messagePlan(prefix []byte) (*plan, error) {
	if p := c.messages[string(prefix)]; p != nil {
		return p, nil
	}
	p, err := c.router.messagePlan(string(prefix))
	if err != nil {
		return nil, err
	}
	if len(c.messages) >= maxMessagePlans {
		clear(c.messages)
	}
	c.messages[string(prefix)] = p
	return p, nil
}

var (
	textFalse = []byte("f")
	textTrue  = []byte("t")
)

// messageValues appends the values of the columns of a message.
func (c *changes) messageValues(dst []publisher.Value, m *pgoutput.LogicalMessage) []publisher.Value {
	values := [messageColumns]publisher.Value{
		messagePrefix:        {Kind: publisher.Text, Text: m.Prefix},
		messageTransactional: {Kind: publisher.Text, Text: textFalse},
	}
	if m.Transactional {
		values[messageTransactional].Text = textTrue
	}
	if utf8.Valid(m.Content) {
		values[messageContent] = publisher.Value{Kind: publisher.Text, Text: m.Content}
	} else {
		if cap(c.base64) > maxBase64 {
			c.base64 = nil // what one huge message made of it is given back
		}
		c.base64 = base64.StdEncoding.AppendEncode(c.base64[:0], m.Content)
		values[messageBase64] = publisher.Value{Kind: publisher.Text, Text: c.base64}
	}
	return append(dst, values[:]...)
}

// countPublished returns the function that counts delivered messages, for one
// goroutine. A logical message of any prefix counts under one topic, because its
// own is not bounded either. Counters are kept: of thousands of tables in turn
// every row would have its own looked up.
func countPublished(met *metrics.Metrics) func(topic, table string, n int) {
	type series struct{ topic, table string }
	counters := make(map[series]prometheus.Counter)
	return func(topic, table string, n int) {
		if table == anyMessage {
			topic = anyMessage
		}
		counter := counters[series{topic, table}]
		if counter == nil {
			counter = met.PublishedCounter(topic, table)
			counters[series{topic, table}] = counter
		}
		counter.Add(float64(n))
	}
}

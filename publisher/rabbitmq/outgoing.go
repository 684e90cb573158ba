package rabbitmq

import (
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/walherald/walherald/publisher"
)

// appID is what every message names as its sender.
const appID = "walherald"

// attributePrefix comes before the names of CloudEvents' attributes (CloudEvents
// 1.0, AMQP protocol binding).
const attributePrefix = "cloudEvents:"

// outgoing is the one message that is filled and published again and again.
type outgoing struct {
	content    *publisher.Content
	attributes []publisher.Attribute
	trace      string // header traceparent, or empty
	msg        amqp.Publishing
}

func newOutgoing(content *publisher.Content) outgoing {
	return outgoing{content: content, msg: amqp.Publishing{
		Headers: make(amqp.Table), DeliveryMode: amqp.Persistent, AppId: appID,
		ContentType: content.Type, ContentEncoding: content.Encoding,
	}}
}

// publish publishes m. The client has copied everything when it returns.
func (o *outgoing) publish(ch *amqp.Channel, exchange string, m *publisher.Message) error {
	o.attributes = o.content.Attributes(o.attributes[:0], m, attributePrefix)
	clear(o.msg.Headers)
	for _, a := range o.attributes {
		o.msg.Headers[a.Name] = a.Value
	}
	if o.trace != "" {
		o.msg.Headers[publisher.HeaderTraceParent] = o.trace
	}
	o.msg.MessageId, o.msg.Type = m.ID.String(), m.Action.String()
	o.msg.Timestamp = time.UnixMicro(m.CommitTime)
	o.msg.Body = m.Body
	const mandatory, immediate = true, false
	return ch.Publish(exchange, m.Topic, mandatory, immediate, o.msg)
}

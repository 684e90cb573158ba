package kafka

import (
	"context"
	"errors"
	"fmt"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/initproducerid"
)

// ensureProducer asks the cluster for a producer id if there is none. Where the
// brokers give none, messages are written without.
func (p *Publisher) ensureProducer(ctx context.Context) error {
	if p.producer.id >= 0 || p.plain {
		return nil
	}
	answer, err := askAny(ctx, p.cluster, func(c *conn) (*initproducerid.Response, error) {
		if !c.has(protocol.InitProducerId) {
			return &initproducerid.Response{ErrorCode: int16(kafka.UnsupportedVersion)}, nil
		}
		return roundTrip[*initproducerid.Response](ctx, c, &initproducerid.Request{ProducerID: -1, ProducerEpoch: -1})
	})
	if err != nil {
		return fmt.Errorf("get a producer id: %w", err)
	}
	switch err := answerError(answer.ErrorCode, ""); {
	case err == nil:
		p.producer = producer{id: answer.ProducerID, epoch: answer.ProducerEpoch}
		p.setMode(ModeIdempotent)
	case oneOf(err, kafka.ClusterAuthorizationFailed, kafka.UnsupportedVersion, kafka.TransactionalIDAuthorizationFailed):
		p.plain = true
		p.log.Warn("Kafka gives no producer id: what is on its way when a connection is lost can be stored twice; "+
			"allow the user IdempotentWrite on the cluster, or Write on a topic, and start again", "user", p.cfg.User, "error", err)
		p.setMode(ModePlain)
	default:
		return fmt.Errorf("get a producer id: %w", err)
	}
	return nil
}

func (p *Publisher) setMode(mode string) {
	if p.hooks.Mode != nil {
		p.hooks.Mode(mode)
	}
}

// errNoProducer says that another producer id has to be asked for.
var errNoProducer = errors.New("the producer id was used up")

// abandonProducer makes partitions without a producer id wait for another one.
func (p *Publisher) abandonProducer() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.producer = nobody
}

// currentProducer is what a partition without a producer begins with.
func (p *Publisher) currentProducer() producer {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.producer
}

package kafkaserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/metadata"
)

// probe asks for the cluster's brokers and checks that it is this server that
// answers: on the port somebody else may be listening.
func (s *Server) probe(ctx context.Context) error {
	dialer := net.Dialer{Timeout: time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", address(s.ports.admin))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	const version, correlation = 4, 1 // which every Kafka since 0.11 knows
	msg, err := protocol.RoundTrip(protocol.NewConn(conn, "walherald"), version, correlation, "walherald", &metadata.Request{TopicNames: []string{}})
	if err != nil {
		return fmt.Errorf("ask Kafka for its brokers: %w", err)
	}
	answer, ok := msg.(*metadata.Response)
	switch {
	case !ok:
		return fmt.Errorf("ask Kafka for its brokers: %T came back", msg)
	case answer.ClusterID != s.clusterID():
		return fmt.Errorf("cluster %q listens on port %d", answer.ClusterID, s.ports.admin)
	case len(answer.Brokers) == 0:
		return errors.New("the broker is not part of its cluster yet")
	}
	return nil
}

package kafkaserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/initproducerid"
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
	proto := protocol.NewConn(conn, "walherald")
	proto.SetVersions(map[protocol.ApiKey]int16{protocol.Metadata: 4, protocol.InitProducerId: 1}) // as old as Kafka 2
	if err := s.isMember(proto); err != nil {
		return err
	}
	return givesProducerIDs(proto)
}

func (s *Server) isMember(proto *protocol.Conn) error {
	msg, err := proto.RoundTrip(&metadata.Request{TopicNames: []string{}})
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

// givesProducerIDs is the last that a broker is ready for.
func givesProducerIDs(proto *protocol.Conn) error {
	msg, err := proto.RoundTrip(&initproducerid.Request{})
	if err != nil {
		return fmt.Errorf("ask Kafka for a producer id: %w", err)
	}
	if answer, ok := msg.(*initproducerid.Response); !ok || answer.ErrorCode != 0 {
		return fmt.Errorf("ask Kafka for a producer id: %+v came back", msg)
	}
	return nil
}

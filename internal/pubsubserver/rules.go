package pubsubserver

import (
	"regexp"
	"strings"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// The service's limits (https://cloud.google.com/pubsub/quotas, "Resource
// limits").
const (
	maxMessages       = 1000
	maxRequest        = 10_000_000
	maxAttributes     = 100
	maxAttributeName  = 256
	maxAttributeValue = 1024
	maxOrderingKey    = 1024
)

// topicName is what a topic may be called
// (https://cloud.google.com/pubsub/docs/pubsub-basics, "Resource names").
var topicName = regexp.MustCompile(`^projects/[^/]+/topics/[A-Za-z][A-Za-z0-9\-_.~+%]{2,254}$`)

// refuse answers what the service does not take and pstest does.
func refuse(req any) error {
	switch r := req.(type) {
	case *pubsubpb.Topic:
		return refuseTopic(r.Name)
	case *pubsubpb.PublishRequest:
		return refusePublish(r)
	}
	return nil
}

func refuseTopic(name string) error {
	if !topicName.MatchString(name) || strings.HasPrefix(name[strings.LastIndexByte(name, '/')+1:], "goog") {
		return status.Errorf(codes.InvalidArgument, "invalid topic name %q", name)
	}
	return nil
}

func refusePublish(r *pubsubpb.PublishRequest) error {
	if n := len(r.Messages); n < 1 || n > maxMessages {
		return status.Errorf(codes.InvalidArgument, "%d messages in a request, want 1 to %d", n, maxMessages)
	}
	if size := proto.Size(r); size > maxRequest {
		return status.Errorf(codes.InvalidArgument, "request of %d bytes exceeds %d", size, maxRequest)
	}
	for _, m := range r.Messages {
		if m.OrderingKey != r.Messages[0].OrderingKey {
			return status.Error(codes.FailedPrecondition, "messages of a request differ in their ordering keys")
		}
		if err := refuseMessage(m); err != nil {
			return err
		}
	}
	return nil
}

func refuseMessage(m *pubsubpb.PubsubMessage) error {
	switch {
	case len(m.OrderingKey) > maxOrderingKey:
		return status.Errorf(codes.InvalidArgument, "ordering key of %d bytes", len(m.OrderingKey))
	case len(m.Attributes) > maxAttributes:
		return status.Errorf(codes.InvalidArgument, "%d attributes", len(m.Attributes))
	case len(m.Data) == 0 && len(m.Attributes) == 0:
		return status.Error(codes.InvalidArgument, "message with neither data nor attributes")
	}
	for name, value := range m.Attributes {
		if name == "" || len(name) > maxAttributeName || len(value) > maxAttributeValue || strings.HasPrefix(name, "goog") {
			return status.Errorf(codes.InvalidArgument, "attribute %q with a value of %d bytes", name, len(value))
		}
	}
	return nil
}

package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/publisher"
)

// TailOptions say what to read.
type TailOptions struct {
	// Output is the name of the output; empty means the only one.
	Output string
	// From is where reading begins.
	From publisher.Start
	Log  *slog.Logger
}

// Tail hands on what the destination of one output gives to consumers, as it
// arrives, until ctx ends, which is no error, or emit fails. It takes nothing
// away from other consumers.
func Tail(ctx context.Context, cfg *config.Config, o TailOptions, emit func(publisher.Received) error) error {
	out, err := outputNamed(cfg, o.Output)
	if err != nil {
		return err
	}
	// What all topics of the output begin with.
	prefix := out.Topic + "." + out.TopicPrefix
	return tailTopics(ctx, out, prefix, topics(cfg, out), o, emit)
}

// tailTopics is Tail for the topics of an output that begin with prefix, or, where
// the broker has to be told them, match one of the patterns.
func tailTopics(ctx context.Context, out config.Output, prefix string, patterns []string, o TailOptions, emit func(publisher.Received) error) error {
	switch out.Type {
	case config.PublisherNATS:
		return tailNATS(ctx, out, prefix, o, emit)
	case config.PublisherKafka:
		return tailKafka(ctx, out, prefix, o, emit)
	case config.PublisherRabbitMQ:
		return tailRabbitMQ(ctx, out, patterns, o, emit)
	case config.PublisherPubSub:
		return tailPubSub(ctx, out, prefix, o, emit)
	case config.PublisherFile:
		return tailFile(ctx, out, o, emit)
	}
	return fmt.Errorf("%s.type: %s keeps nothing that could be read back: name an output of another type with --publisher", out.Section, out.Type)
}

// outputNamed finds an output by its name; without a name there has to be one only.
func outputNamed(cfg *config.Config, name string) (config.Output, error) {
	outs := cfg.Outputs()
	switch {
	case len(outs) == 0:
		return config.Output{}, errors.New("the configuration has no publisher: notifications alone leave nothing that could be read back")
	case name == "" && len(outs) == 1:
		return outs[0], nil
	}
	var names []string
	for _, out := range outs {
		if out.Name == name {
			return out, nil
		}
		names = append(names, out.Name)
	}
	if name == "" {
		return config.Output{}, fmt.Errorf("there are several outputs: choose one with --publisher: %s", strings.Join(names, ", "))
	}
	return config.Output{}, fmt.Errorf("no output is called %q: --publisher takes %s", name, strings.Join(names, ", "))
}

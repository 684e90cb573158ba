package nats

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/walherald/walherald/publisher"
)

// streamInfo is what a session needs to know of its stream.
type streamInfo struct {
	name       string
	subjects   []string
	fast       bool // takes fast batch ingest
	replicated bool
	maxMsgSize int // 0 or less: no limit of its own
	created    bool
	config     jetstream.StreamConfig
}

// StreamName returns the name of the stream of a topic. The characters NATS
// forbids in stream names become underscores.
func StreamName(topic string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(". */>\\", r) || r <= ' ' || r == 0x7f {
			return '_'
		}
		return r
	}, topic)
}

// Subject makes a valid subject of a topic: white space, wildcards and control
// characters become underscores, as do the dots that would leave a token empty.
func Subject(topic string) string {
	b := []byte(topic)
	for i, c := range b {
		emptyToken := c == '.' && (i == 0 || i == len(b)-1 || b[i-1] == '.')
		if c <= ' ' || c == '*' || c == '>' || c == 0x7f || emptyToken {
			b[i] = '_'
		}
	}
	return string(b)
}

// What happens if there is no stream: values of Config.MissingTopic.
const (
	MissingCreate = "create" // it is made; empty means this too
	MissingWait   = "wait"   // a temporary error until it is there
	MissingStop   = "stop"   // a permanent error
)

// StreamOptions is how a stream is made. Zero values are the server's defaults.
type StreamOptions struct {
	// Replicas is how many servers of a cluster hold it, 1 to 5.
	Replicas int
	// Memory keeps it in memory and not in files.
	Memory bool
	// MaxAge is how long it keeps a message; 0 means for ever.
	MaxAge time.Duration
	// DuplicateWindow is how long it remembers message ids; 0 means two minutes.
	DuplicateWindow time.Duration
}

func (o *StreamOptions) storage() jetstream.StorageType {
	if o.Memory {
		return jetstream.MemoryStorage
	}
	return jetstream.FileStorage
}

// differences says how a stream is not as the options, where they are set.
func (o *StreamOptions) differences(have *jetstream.StreamConfig) []string {
	var d []string
	differ := func(differs bool, name string, have, want any) {
		if differs {
			d = append(d, fmt.Sprintf("%s is %v, not %v", name, have, want))
		}
	}
	differ(o.Replicas > 0 && have.Replicas != o.Replicas, "replicas", have.Replicas, o.Replicas)
	differ(o.Memory != (have.Storage == jetstream.MemoryStorage), "storage", have.Storage, o.storage())
	differ(o.MaxAge > 0 && have.MaxAge != o.MaxAge, "maxAge", have.MaxAge, o.MaxAge)
	differ(o.DuplicateWindow > 0 && have.Duplicates != o.DuplicateWindow, "duplicateWindow", have.Duplicates, o.DuplicateWindow)
	return d
}

// tellOfStream logs that the stream was made, or how one that was there already
// is not as configured; the latter once.
func (p *Publisher) tellOfStream(info streamInfo) {
	if info.created {
		p.log.Info("JetStream stream created", "stream", info.name, "subjects", info.subjects)
		p.told = true
	}
	if p.told {
		return
	}
	p.told = true
	if d := p.cfg.Stream.differences(&info.config); len(d) > 0 {
		p.log.Warn("JetStream stream is not as publisher.nats says and stays as it is: change one of them",
			"stream", info.name, "differences", strings.Join(d, ", "))
	}
}

// ensureStream finds the stream of the topic, or does what MissingTopic says. A
// stream that exists is taken as it is.
func (c *Config) ensureStream(ctx context.Context, nc *nats.Conn) (streamInfo, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return streamInfo{}, fmt.Errorf("use JetStream: %w", err)
	}
	name := StreamName(c.Topic)
	info, err := findStream(ctx, js, c.Topic)
	switch {
	case err == nil:
		return info, info.usable()
	case !errors.Is(err, jetstream.ErrStreamNotFound):
		return streamInfo{}, fmt.Errorf("find stream %s: %w", name, err)
	case c.MissingTopic == MissingWait:
		return streamInfo{}, missingError(name, c.Topic)
	case c.MissingTopic == MissingStop:
		return streamInfo{}, publisher.Permanent(missingError(name, c.Topic))
	}
	return c.createStream(ctx, js)
}

func missingError(name, topic string) error {
	return fmt.Errorf("stream %s does not exist: run nats stream add %s --subjects '%s.>', or set publisher.missingTopic: create",
		name, name, topic)
}

// usable refuses a stream that will never confirm a message.
func (i *streamInfo) usable() error {
	switch {
	case i.config.NoAck:
		return publisher.Permanent(fmt.Errorf("stream %s does not acknowledge what it stores: run nats stream edit %s --ack", i.name, i.name))
	case i.config.Sealed:
		return publisher.Permanent(fmt.Errorf("stream %s is sealed and takes nothing any more: choose another publisher.topic", i.name))
	}
	return nil
}

// The server's answers to a stream it cannot make (server/errors.json).
const (
	codeInvalidJSON          = 10025 // an option is unknown to it
	codeReplicasNotSupported = 10074 // it is no cluster
)

func (c *Config) createStream(ctx context.Context, js jetstream.JetStream) (streamInfo, error) {
	cfg := jetstream.StreamConfig{
		Name: StreamName(c.Topic), Subjects: []string{c.Topic + ".>"},
		Storage: c.Stream.storage(), Replicas: c.Stream.Replicas, MaxAge: c.Stream.MaxAge, Duplicates: c.Stream.DuplicateWindow,
		AllowDirect: true, AllowBatchPublish: true,
	}
	st, err := js.CreateStream(ctx, cfg)
	if hasCode(err, codeInvalidJSON) {
		// Servers before 2.14 do not know the option; those that check strictly
		// refuse it.
		cfg.AllowBatchPublish = false
		st, err = js.CreateStream(ctx, cfg)
	}
	switch {
	case errors.Is(err, jetstream.ErrStreamNameAlreadyInUse): // another process was faster
		return findStream(ctx, js, c.Topic)
	case hasCode(err, codeReplicasNotSupported):
		err = publisher.Permanent(fmt.Errorf("%w: lower publisher.nats.replicas", err))
	}
	if err != nil {
		return streamInfo{}, fmt.Errorf("create stream %s: %w", cfg.Name, err)
	}
	info := newStreamInfo(st.CachedInfo())
	info.created = true
	return info, nil
}

// findStream looks for the stream by its name, then by the topic's subjects.
func findStream(ctx context.Context, js jetstream.JetStream, topic string) (streamInfo, error) {
	st, err := js.Stream(ctx, StreamName(topic))
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		var name string
		if name, err = js.StreamNameBySubject(ctx, topic+".>"); err != nil {
			return streamInfo{}, err
		}
		st, err = js.Stream(ctx, name)
	}
	if err != nil {
		return streamInfo{}, err
	}
	return newStreamInfo(st.CachedInfo()), nil
}

func newStreamInfo(i *jetstream.StreamInfo) streamInfo {
	return streamInfo{
		name: i.Config.Name, subjects: i.Config.Subjects,
		fast: i.Config.AllowBatchPublish, replicated: i.Config.Replicas > 1, maxMsgSize: int(i.Config.MaxMsgSize),
		config: i.Config,
	}
}

// subjectMatches reports whether the subject filter pattern takes subject
// (https://docs.nats.io/nats-concepts/subjects).
func subjectMatches(pattern, subject string) bool {
	want, have := strings.Split(pattern, "."), strings.Split(subject, ".")
	for i, token := range want {
		if token == ">" {
			return len(have) > i
		}
		if i == len(have) || (token != "*" && token != have[i]) {
			return false
		}
	}
	return len(want) == len(have)
}

// hasCode reports whether err is the server's answer with this error code.
func hasCode(err error, code jetstream.ErrorCode) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == code
}

// errNoURL stands for whatever the client has to say of an address that cannot
// be parsed, because it says it with the password.
var errNoURL = errors.New("address is no URL: write nats://user:password@host:4222, with %, /, ? and # in user and password escaped")

// checkAddresses refuses addresses the client cannot parse, and those it would
// divide in a password and then show the first part of as a host.
func checkAddresses(urls []string) error {
	for _, raw := range urls {
		if !strings.Contains(raw, "://") {
			raw = "nats://" + raw
		}
		u, err := url.Parse(raw)
		if err != nil || strings.Contains(u.Path+u.RawQuery+u.Fragment, "@") {
			return publisher.Permanent(errNoURL)
		}
	}
	return nil
}

package nats

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

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

// ensureStream finds the stream of the topic, or makes it. A stream that
// exists is taken as it is.
func ensureStream(ctx context.Context, nc *nats.Conn, topic string) (streamInfo, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return streamInfo{}, fmt.Errorf("use JetStream: %w", err)
	}
	info, err := findStream(ctx, js, topic)
	if err == nil {
		return info, nil
	}
	if !errors.Is(err, jetstream.ErrStreamNotFound) {
		return streamInfo{}, fmt.Errorf("find stream %s: %w", StreamName(topic), classifyAPI(err))
	}
	return createStream(ctx, js, topic)
}

func createStream(ctx context.Context, js jetstream.JetStream, topic string) (streamInfo, error) {
	cfg := jetstream.StreamConfig{
		Name: StreamName(topic), Subjects: []string{topic + ".>"},
		Storage: jetstream.FileStorage, AllowDirect: true, AllowBatchPublish: true,
	}
	st, err := js.CreateStream(ctx, cfg)
	if isAPIError(err) && !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		// Servers before 2.14 do not know the option; those that check strictly
		// refuse it.
		cfg.AllowBatchPublish = false
		st, err = js.CreateStream(ctx, cfg)
	}
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // another process was faster
		return findStream(ctx, js, topic)
	}
	if err != nil {
		return streamInfo{}, fmt.Errorf("create stream %s: %w", cfg.Name, classifyAPI(err))
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

func isAPIError(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api)
}

// classifyAPI marks what trying again cannot mend.
func classifyAPI(err error) error {
	if errors.Is(err, nats.ErrPermissionViolation) {
		return publisher.Permanent(err)
	}
	return err
}

// classifyConnect marks what trying again cannot mend.
func classifyConnect(err error) error {
	switch {
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired), errors.Is(err, nats.ErrAuthRevoked),
		errors.Is(err, nats.ErrSecureConnRequired), errors.Is(err, nats.ErrSecureConnWanted):
		return publisher.Permanent(err)
	}
	return err
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

package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/apiversions"
	"github.com/segmentio/kafka-go/protocol/saslauthenticate"
	"github.com/segmentio/kafka-go/protocol/saslhandshake"
	"github.com/segmentio/kafka-go/sasl"

	"github.com/walherald/walherald/publisher"
)

const (
	clientID = "walherald"
	// dialTimeout bounds all that it takes until a connection can be used.
	dialTimeout = 5 * time.Second
	// ackTimeout is how long a broker waits for the other replicas.
	ackTimeout = 10 * time.Second
	// answerTimeout is how long an answer may take before the connection is
	// given up. It leaves the broker time to say that ackTimeout is over.
	answerTimeout = 15 * time.Second
	// idleAfter is when a connection that turns out to be lost is no failure
	// worth telling of: brokers close those that nobody uses.
	idleAfter = 10 * time.Second
)

// conn is a connection to one broker, with one request at a time on its way. It
// is of no more use after its first error. It has no goroutine.
type conn struct {
	addr     string
	net      net.Conn
	proto    *protocol.Conn
	versions map[protocol.ApiKey]int16
	timeout  time.Duration // answerTimeout, but for tests
	used     time.Time     // when the last answer came
	broken   bool
}

// idle reports whether the connection was not used for so long that somebody on
// the way may have closed it.
func (c *conn) idle() bool { return time.Since(c.used) > idleAfter }

// security is what connections have in common.
type security struct {
	tls  *tls.Config
	sasl sasl.Mechanism // nil for none
}

// dial connects to addr, host:port, and finds out what the broker speaks.
func dial(ctx context.Context, addr string, sec security, timeout time.Duration) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, min(dialTimeout, timeout))
	defer cancel()
	var dialer net.Dialer
	nc, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("connect to Kafka at %s: %w", addr, err)
	}
	c := &conn{addr: addr, net: nc, timeout: timeout}
	if err := c.greet(ctx, sec); err != nil {
		c.close()
		return nil, fmt.Errorf("connect to Kafka at %s: %w", addr, err)
	}
	return c, nil
}

// greet does what comes before the first request of ours.
func (c *conn) greet(ctx context.Context, sec security) error {
	if sec.tls != nil {
		if err := c.encrypt(ctx, sec.tls); err != nil {
			return err
		}
	}
	c.proto = protocol.NewConn(c.net, clientID)
	answer, err := roundTrip[*apiversions.Response](ctx, c, &apiversions.Request{})
	if err == nil {
		err = answerError(answer.ErrorCode, "")
	}
	if err != nil {
		return fmt.Errorf("ask what it speaks: %w", err)
	}
	c.versions = make(map[protocol.ApiKey]int16, len(answer.ApiKeys))
	for _, k := range answer.ApiKeys {
		key := protocol.ApiKey(k.ApiKey)
		c.versions[key] = key.SelectVersion(k.MinVersion, k.MaxVersion)
	}
	c.proto.SetVersions(c.versions)
	if sec.sasl == nil {
		return nil
	}
	return c.authenticate(ctx, sec.sasl)
}

func (c *conn) encrypt(ctx context.Context, cfg *tls.Config) error {
	if cfg.ServerName == "" {
		host, _, err := net.SplitHostPort(c.addr)
		if err != nil {
			return fmt.Errorf("read the broker's name: %w", err)
		}
		cfg = cfg.Clone()
		cfg.ServerName = host
	}
	secured := tls.Client(c.net, cfg)
	if err := secured.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("speak TLS: %w", err)
	}
	c.net = secured
	return nil
}

// authenticate shows the credentials
// (https://kafka.apache.org/protocol.html#sasl_handshake).
func (c *conn) authenticate(ctx context.Context, mechanism sasl.Mechanism) error {
	hello, err := roundTrip[*saslhandshake.Response](ctx, c, &saslhandshake.Request{Mechanism: mechanism.Name()})
	if err == nil {
		err = answerError(hello.ErrorCode, "")
	}
	if errors.Is(err, kafka.UnsupportedSASLMechanism) || errors.Is(err, kafka.IllegalSASLState) {
		return publisher.Permanent(fmt.Errorf("%w: it takes %v, not %s: correct publisher.kafka.sasl", err, hello.Mechanisms, mechanism.Name()))
	}
	if err != nil {
		return fmt.Errorf("begin SASL: %w", err)
	}
	session, state, err := mechanism.Start(sasl.WithMetadata(ctx, &sasl.Metadata{Host: c.addr}))
	for done := false; err == nil && !done; {
		var challenge []byte
		if challenge, err = c.respond(ctx, state); err == nil {
			done, state, err = session.Next(ctx, challenge)
		}
	}
	if err != nil {
		return fmt.Errorf("authenticate: %w", err)
	}
	return nil
}

func (c *conn) respond(ctx context.Context, state []byte) ([]byte, error) {
	answer, err := roundTrip[*saslauthenticate.Response](ctx, c, &saslauthenticate.Request{AuthBytes: state})
	if err != nil {
		return nil, err
	}
	if err := answerError(answer.ErrorCode, ""); err != nil {
		return nil, publisher.Permanent(fmt.Errorf("%w: correct publisher.user, publisher.password and publisher.kafka.sasl", err))
	}
	return answer.AuthBytes, nil
}

// has reports whether the broker knows a request.
func (c *conn) has(key protocol.ApiKey) bool {
	_, ok := c.versions[key]
	return ok
}

// close ends the connection; it may be called more than once.
func (c *conn) close() {
	c.broken = true
	_ = c.net.Close()
}

// errAnswer says that the broker answered something else than it was asked.
var errAnswer = errors.New("the broker's answer is not one to the request")

// roundTrip sends a request and waits for its answer, until ctx ends or the
// connection's timeout is over. After an error nobody knows whether the broker
// has carried out the request.
func roundTrip[R protocol.Message](ctx context.Context, c *conn, req protocol.Message) (R, error) {
	var none R
	if err := ctx.Err(); err != nil {
		return none, err
	}
	if err := c.net.SetDeadline(time.Now().Add(c.timeout)); err != nil {
		c.close()
		return none, fmt.Errorf("ask Kafka at %s: %w", c.addr, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = c.net.SetDeadline(time.Unix(1, 0)) })
	msg, err := c.proto.RoundTrip(req)
	if !stop() {
		c.close() // the deadline in the past may be set at any time
	}
	answer, ok := msg.(R)
	switch {
	case err == nil && ok:
		c.used = time.Now()
		return answer, nil
	case err == nil:
		err = errAnswer
	case ctx.Err() != nil:
		err = ctx.Err()
	case errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF
	}
	c.close()
	return none, fmt.Errorf("ask Kafka at %s: %w", c.addr, err)
}

// answerError is the error that an answer's code stands for, with what the
// broker says of it.
func answerError(code int16, text string) error {
	switch {
	case code == 0:
		return nil
	case text != "":
		return fmt.Errorf("%w: %s", kafka.Error(code), text)
	}
	return kafka.Error(code)
}

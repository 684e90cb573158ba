package rabbitmq

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/publisher"
)

const (
	// connectTimeout bounds connecting to one host up to the end of the
	// handshake. A broker waits before it refuses credentials.
	connectTimeout = 10 * time.Second
	// heartbeat is the interval agreed with the broker; a connection that was
	// silent for one and a half of it is given up.
	heartbeat = 10 * time.Second
	// frameSize is the largest frame in bytes that is asked for, RabbitMQ's own
	// default. Larger bodies are divided.
	frameSize = 128 << 10
)

// connect tries the hosts in turn, beginning with the one that answered last. It
// is permanent if all of them say so.
func (s *session) connect(ctx context.Context) error {
	urls := s.p.cfg.URLs
	var errs []error
	for n := range urls {
		at := (s.p.host + n) % len(urls)
		err := s.connectTo(ctx, urls[at])
		if err == nil {
			s.p.host = at
			return nil
		}
		errs = append(errs, fmt.Errorf("connect to RabbitMQ at %v: %w", config.Addresses(urls[at:at+1]), err))
		if ctx.Err() != nil {
			break
		}
	}
	if len(errs) == 0 {
		return publisher.Permanent(errors.New("connect to RabbitMQ: publisher.address names no broker"))
	}
	if slices.ContainsFunc(errs, func(err error) bool { return !publisher.IsPermanent(err) }) {
		return temporary(errors.Join(errs...))
	}
	return errors.Join(errs...)
}

// temporary hides that some of what err wraps is permanent.
func temporary(err error) error {
	if !publisher.IsPermanent(err) {
		return err
	}
	return errors.New(err.Error())
}

func (s *session) connectTo(ctx context.Context, raw string) error {
	uri, err := parseURL(raw, s.p.cfg.TLS != nil)
	if err != nil {
		return publisher.Permanent(err)
	}
	timeout := connectTimeout
	if uri.ConnectionTimeout > 0 {
		timeout = time.Duration(uri.ConnectionTimeout) * time.Millisecond
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if s.raw, err = new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(uri.Host, strconv.Itoa(uri.Port))); err != nil {
		return err
	}
	defer s.endWith(ctx)()
	if err := s.open(ctx, uri); err != nil {
		reset(s.raw)
		_ = s.raw.Close()
		if ctx.Err() != nil {
			return fmt.Errorf("%w during the handshake: %w", ctx.Err(), err)
		}
		return classifyOpen(err, uri)
	}
	return nil
}

// open secures the connection, if it is to be, and logs in.
func (s *session) open(ctx context.Context, uri amqp.URI) error {
	conn := s.raw
	if uri.Scheme == "amqps" {
		secured := tls.Client(conn, tlsFor(s.p.cfg.TLS, uri.Host))
		if err := secured.HandshakeContext(ctx); err != nil {
			return err
		}
		conn = secured
	}
	properties := amqp.Table{"product": "walherald", "connection_name": "walherald " + s.p.cfg.Exchange}
	buffered := newBufferedConn(conn)
	var err error
	s.conn, err = amqp.Open(buffered, amqp.Config{
		Vhost: uri.Vhost, SASL: []amqp.Authentication{announcing{s.p.cfg.authentication(uri), properties}},
		Heartbeat: heartbeat, FrameSize: frameSize, Properties: properties, Locale: "en_US",
	})
	if err != nil {
		_ = s.raw.Close()
		_ = buffered.Close()
		if code(err) == 0 && !errors.Is(err, amqp.ErrSASL) {
			// The client takes the end of the connection for wrong credentials.
			return fmt.Errorf("connection ended during the handshake: %w", buffered.ended())
		}
		return err
	}
	s.conn.NotifyBlocked(s.blocks)
	return nil
}

// tlsFor completes a configuration for one host.
func tlsFor(tc *tls.Config, host string) *tls.Config {
	if tc == nil {
		tc = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	tc = tc.Clone()
	if tc.ServerName == "" {
		tc.ServerName = host
	}
	return tc
}

// authentication returns how to log in.
func (c *Config) authentication(uri amqp.URI) amqp.Authentication {
	if slices.ContainsFunc(uri.AuthMechanism, func(m string) bool { return strings.EqualFold(m, "external") }) {
		return &amqp.ExternalAuth{}
	}
	auth := &amqp.PlainAuth{Username: uri.Username, Password: uri.Password}
	if c.User != "" {
		auth.Username = c.User
	}
	if c.Password != "" {
		auth.Password = c.Password.Reveal()
	}
	return auth
}

// announcing tells the broker, just before the client does log in, that we want
// to hear why it refuses us (capability authentication_failure_close). Otherwise
// wrong credentials could not be told from a connection that was cut.
type announcing struct {
	amqp.Authentication
	properties amqp.Table // those of the client
}

// Response implements amqp.Authentication.
func (a announcing) Response() string {
	if capabilities, ok := a.properties["capabilities"].(amqp.Table); ok {
		capabilities["authentication_failure_close"] = true
	}
	return a.Authentication.Response()
}

// parseURL reads an address; secure makes TLS of whatever scheme it has. It
// refuses what would be divided in a password and then show the first part of it
// as a host.
func parseURL(raw string, secure bool) (amqp.URI, error) {
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok {
		scheme, rest = "amqp", raw
	}
	if secure && scheme == "amqp" {
		scheme = "amqps"
	}
	raw = scheme + "://" + rest
	u, err := url.Parse(raw)
	if err != nil || strings.Contains(u.Path+u.RawQuery+u.Fragment, "@") {
		return amqp.URI{}, errNoURL
	}
	uri, err := amqp.ParseURI(raw)
	if err != nil {
		return amqp.URI{}, errNoURL
	}
	return uri, nil
}

// classifyOpen marks what trying again cannot mend and says what to change.
func classifyOpen(err error, uri amqp.URI) error {
	switch code(err) {
	case amqp.AccessRefused:
		return publisher.Permanent(fmt.Errorf("%w: correct publisher.user and publisher.password, or those in publisher.address", err))
	case amqp.NotAllowed:
		if strings.Contains(err.Error(), "limit") || strings.Contains(err.Error(), "down") { // others may end, it may come up
			return err
		}
		return publisher.Permanent(fmt.Errorf("%w: correct the vhost in publisher.address (%q), or make it and give the user rights in it", err, uri.Vhost))
	}
	if errors.Is(err, amqp.ErrSASL) {
		return publisher.Permanent(fmt.Errorf("%w: the broker does not offer what auth_mechanism in publisher.address asks for", err))
	}
	return err
}

// reset makes the closing of a connection drop what is not yet sent or read.
func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
}

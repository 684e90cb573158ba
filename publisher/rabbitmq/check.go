package rabbitmq

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/walherald/walherald/config"
)

// checkTimeout bounds a whole Check.
const checkTimeout = 30 * time.Second

// Check looks for what would keep a Publisher of this configuration from
// delivering and returns what it found, good and bad. It changes nothing: an
// exchange that a start would make is not. It connects as the service does and
// ends within 30 seconds. No finding holds a password.
func Check(ctx context.Context, cfg Config) []config.Finding {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	p := &preflight{cfg: &cfg}
	s := &session{p: New(cfg, Hooks{}, slog.New(slog.DiscardHandler)), blocks: make(chan amqp.Blocking, 1)}
	if err := s.connect(ctx); err != nil {
		path, remedy := connectRemedy(err)
		p.Fail(path, remedy, "%v", err)
		return p.Findings
	}
	defer s.close(nil)
	defer s.endWith(ctx)()
	p.conn = s.conn
	version, _ := s.conn.Properties["version"].(string)
	p.OK("publisher.address", "connected to RabbitMQ %s at %s, vhost %q", version, s.conn.RemoteAddr(), s.conn.Config.Vhost)
	p.exchange()
	return p.Findings
}

// preflight is one Check.
type preflight struct {
	config.Findings

	cfg  *Config
	conn *amqp.Connection
}

func connectRemedy(err error) (path, remedy string) {
	var (
		authority x509.UnknownAuthorityError
		verify    *tls.CertificateVerificationError
		record    tls.RecordHeaderError
	)
	switch {
	case errors.Is(err, errNoURL):
		return "publisher.address", "write amqp://user:password@host:5672/vhost, with % and the like in user, password and vhost escaped as in any URL"
	case code(err) == amqp.AccessRefused:
		return "publisher.user", "correct publisher.user and publisher.password, or those in publisher.address"
	case code(err) == amqp.NotAllowed:
		return "publisher.address", "correct the vhost at the end of the address, or make it and give the user rights in it: rabbitmqctl set_permissions -p VHOST USER '.*' '.*' '.*'"
	case errors.As(err, &authority):
		return "publisher.caCert", "name the PEM file of the authority that signed the broker's certificate, beside publisher.enableTLS: true"
	case errors.As(err, &record):
		return "publisher.enableTLS", "remove it, or name the broker's TLS port, as a rule 5671"
	case errors.As(err, &verify):
		return "publisher.address", "use a name that is in the broker's certificate, or renew the certificate"
	}
	return "publisher.address", "correct the address, or start RabbitMQ there; firewalls have to let this host in"
}

// exchange looks for the exchange and at what a start would do about it.
func (p *preflight) exchange() {
	asItIs := *p.cfg
	asItIs.Missing = MissingWait
	err := ensureExchange(p.conn, &asItIs)
	creates := p.cfg.Missing == "" || p.cfg.Missing == MissingCreate
	switch {
	case code(err) == amqp.NotFound && creates:
		p.OK("publisher.topic", "exchange %q does not exist and would be made: %s, durable; bind queues to it then, until when changes are held",
			p.cfg.Exchange, kind(p.cfg))
		return
	case code(err) == amqp.NotFound:
		p.Fail("publisher.topic", "make the exchange, or set publisher.missingTopic: create", "exchange %q does not exist", p.cfg.Exchange)
		return
	case err != nil:
		p.Fail("publisher.topic", "choose another name for the exchange", "%v", err)
		return
	case creates:
		if !p.sameKind() {
			return
		}
	default:
		p.OK("publisher.topic", "exchange %q exists and is taken as it is", p.cfg.Exchange)
	}
	p.Add(config.FindingOK, "publisher.topic", "see with: rabbitmqctl list_bindings",
		"AMQP does not tell which queues are bound, nor whether the user may publish: changes that no queue takes are held, and tried again until one does")
}

// sameKind declares the exchange, which exists, as a start would.
func (p *preflight) sameKind() bool {
	err := ensureExchange(p.conn, p.cfg)
	if err != nil {
		p.Fail("publisher.exchangeKind", "name the kind that the exchange has, or set publisher.missingTopic: wait to take it as it is", "%v", err)
		return false
	}
	p.OK("publisher.exchangeKind", "exchange %q exists and is of the kind %s", p.cfg.Exchange, kind(p.cfg))
	return true
}

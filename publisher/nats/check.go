package nats

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/walherald/walherald/config"
)

// checkTimeout bounds a whole Check.
const checkTimeout = 30 * time.Second

// Check looks for what would keep a Publisher of this configuration from
// delivering and returns what it found, good and bad. It changes nothing: a
// stream that a start would create is not. It connects as the service does and
// ends within 30 seconds. No finding holds a password.
//
// Subjects are patterns of what the configuration will publish to, of literal
// tokens and *; none means <topic>.*, which is every table as it is.
func Check(ctx context.Context, cfg Config, subjects ...string) []config.Finding {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	if len(subjects) == 0 {
		subjects = []string{cfg.Topic + ".*"}
	}
	p := &preflight{cfg: cfg, subjects: subjects}
	s := &session{p: New(cfg, Hooks{}, slog.New(slog.DiscardHandler)), closed: make(chan struct{}), acks: make(chan *nats.Msg)}
	if err := s.connect(ctx); err != nil {
		p.unreachable(err)
		return p.Findings
	}
	defer s.close()
	p.nc = s.nc
	p.OK("publisher.address", "connected to NATS %s at %s", p.nc.ConnectedServerVersion(), p.nc.ConnectedAddr())
	p.stream(ctx)
	return p.Findings
}

// preflight is one Check.
type preflight struct {
	config.Findings

	cfg      Config
	subjects []string
	nc       *nats.Conn
}

// unreachable says why there is no connection and what to do.
func (p *preflight) unreachable(err error) {
	if errors.Is(err, errNoURL) {
		p.Fail("publisher.address", "write addresses as nats://user:password@host:4222, with % and the like in user and password escaped as in any URL",
			"an address is no URL")
		return
	}
	path, remedy := connectRemedy(err)
	p.Fail(path, remedy, "cannot connect to NATS at %v: %v", config.Addresses(p.cfg.URLs), errors.Unwrap(err))
}

func connectRemedy(err error) (path, remedy string) {
	var (
		authority x509.UnknownAuthorityError
		verify    *tls.CertificateVerificationError
		file      *fileError
	)
	switch {
	case errors.As(err, &file):
		return file.key, "name a file that can be read and holds what nsc has written"
	case errors.Is(err, nats.ErrSecureConnWanted):
		return "publisher.enableTLS", "remove it, or turn TLS on in the server"
	case errors.Is(err, nats.ErrSecureConnRequired):
		return "publisher.enableTLS", "set it to true: the server wants TLS"
	case isAny(err, refusals):
		return "publisher.address", "correct the user and password in the address (nats://user:password@host:4222), publisher.user and publisher.password, or publisher.nats.token, credsFile or nkeyFile"
	case refusesCertificate(err), closedAfterHandshake(err):
		return "publisher.clientCert", "name a certificate that the server's authority has signed, and its key in publisher.clientKey"
	case errors.As(err, &authority):
		return "publisher.caCert", "name the PEM file of the authority that signed the server's certificate, beside publisher.enableTLS: true"
	case errors.As(err, &verify):
		return "publisher.address", "use a name that is in the server's certificate, or renew the certificate"
	}
	return "publisher.address", "correct the address, or start nats-server there; firewalls have to let this host in"
}

// stream checks JetStream and the stream, found as a start would find it.
func (p *preflight) stream(ctx context.Context) {
	js, err := jetstream.New(p.nc)
	if err != nil {
		p.noJetStream(err)
		return
	}
	findCtx, cancel := context.WithTimeout(ctx, stallTimeout)
	defer cancel()
	info, err := findStream(findCtx, js, p.cfg.Topic)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		p.OK("publisher.address", "JetStream is enabled")
		p.newStream()
	case err != nil:
		p.noJetStream(err)
	default:
		p.OK("publisher.address", "JetStream is enabled")
		p.existingStream(ctx, js, info)
	}
}

func (p *preflight) noJetStream(err error) {
	switch {
	case errors.Is(err, nats.ErrNoResponders), errors.Is(err, jetstream.ErrJetStreamNotEnabled):
		p.Fail("publisher.address", "start nats-server with -js, or with jetstream in its configuration", "server has JetStream turned off")
	case errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		p.Fail("publisher.address", "enable JetStream for the account in the server's configuration", "JetStream is not enabled for this account")
	case errors.Is(p.nc.LastError(), nats.ErrPermissionViolation):
		p.Fail("publisher.address", "let the user publish to $JS.API.> and to "+p.cfg.Topic+".>, and subscribe to _INBOX.>",
			"user may not use JetStream: %v", p.nc.LastError())
	default:
		p.Fail("publisher.address", "see whether JetStream has a leader: nats server report jetstream", "JetStream does not answer: %v", err)
	}
}

// newStream tells of the stream a start would create, or miss.
func (p *preflight) newStream() {
	if policy := p.cfg.MissingTopic; policy == MissingWait || policy == MissingStop {
		p.Fail("publisher.missingTopic", "run nats stream add "+StreamName(p.cfg.Topic)+" --subjects '"+p.cfg.Topic+".>', or set publisher.missingTopic: create",
			"stream %s does not exist", StreamName(p.cfg.Topic))
		return
	}
	p.OK("publisher.topic", "stream %s does not exist and would be created for %s.>", StreamName(p.cfg.Topic), p.cfg.Topic)
	p.mode(hasFastIngest(p.nc.ConnectedServerVersion()))
	p.limit(0)
}

// hasFastIngest reports whether a server of this version can have streams with
// fast batch ingest.
func hasFastIngest(version string) bool {
	var major, minor int
	if _, err := fmt.Sscanf(version, "%d.%d", &major, &minor); err != nil {
		return false
	}
	return major > 2 || major == 2 && minor >= 14
}

func (p *preflight) existingStream(ctx context.Context, js jetstream.JetStream, info streamInfo) {
	p.OK("publisher.topic", "stream %s exists and takes %s", info.name, strings.Join(info.subjects, ", "))
	p.fits(info)
	p.acknowledges(ctx, js, info.name)
	p.mode(info.fast)
	p.limit(info.maxMsgSize)
}

// acknowledges refuses a stream that stores in silence: walherald would wait
// for ever.
func (p *preflight) acknowledges(ctx context.Context, js jetstream.JetStream, name string) {
	st, err := js.Stream(ctx, name)
	switch {
	case err != nil:
		p.noJetStream(err)
	case st.CachedInfo().Config.NoAck:
		p.Fail("publisher.topic", "run: nats stream edit "+name+" --ack", "stream %s does not acknowledge what it stores", name)
	case st.CachedInfo().Config.Sealed:
		p.Fail("publisher.topic", "choose another publisher.topic", "stream %s is sealed and takes nothing any more", name)
	}
}

// fits judges whether the stream takes what will be published.
func (p *preflight) fits(info streamInfo) {
	remedy := "run: nats stream edit " + info.name + " --subjects '" + p.cfg.Topic + ".>'"
	var refused []string
	some := false
	for _, subject := range p.subjects {
		some = some || slices.ContainsFunc(info.subjects, func(pattern string) bool { return overlap(pattern, subject) })
		if !slices.ContainsFunc(info.subjects, func(pattern string) bool { return subjectMatches(pattern, subject) }) {
			refused = append(refused, subject)
		}
	}
	all := slices.ContainsFunc(info.subjects, func(pattern string) bool {
		return strings.HasSuffix(pattern, ">") && subjectMatches(pattern, p.cfg.Topic+".*")
	})
	switch {
	case all:
		p.OK("publisher.topic", "stream %s takes every subject of the topic", info.name)
	case !some:
		p.Fail("publisher.topic", remedy, "stream %s takes nothing of %s", info.name, strings.Join(p.subjects, ", "))
	case len(refused) > 0:
		p.Warn("publisher.topic", remedy, "stream %s does not take all of %s: a change of a table it has no subject for would stop walherald",
			info.name, strings.Join(refused, ", "))
	default:
		p.OK("publisher.topic", "stream %s takes the subjects of all tables without a dot in their names", info.name)
	}
}

// overlap reports whether some subject is taken by both patterns; b has no >.
func overlap(a, b string) bool {
	left, right := strings.Split(a, "."), strings.Split(b, ".")
	for i, token := range left {
		if token == ">" {
			return len(right) > i
		}
		if i == len(right) || (token != "*" && right[i] != "*" && token != right[i]) {
			return false
		}
	}
	return len(left) == len(right)
}

// mode tells how messages will be written.
func (p *preflight) mode(fast bool) {
	switch {
	case fast:
		p.OK("publisher.topic", "messages are written by fast ingest")
	case hasFastIngest(p.nc.ConnectedServerVersion()):
		p.Add(config.FindingOK, "publisher.topic", "for fast ingest, set allow_batched: true in the stream's configuration (nats stream edit --config)",
			"messages are written with message ids, which is slower: the stream has fast ingest turned off")
	default:
		p.OK("publisher.topic", "messages are written with message ids: fast ingest came with NATS 2.14, which is newer than this server")
	}
}

// limit tells how large a message can be.
func (p *preflight) limit(ofStream int) {
	limit, whose := int(p.nc.MaxPayload()), "the server's max_payload"
	if ofStream > 0 && ofStream < limit {
		limit, whose = ofStream, "the stream's max_msg_size"
	}
	what := "stop walherald"
	if p.cfg.SkipOversize {
		what = "are dropped and logged"
	}
	p.OK("publisher.oversize", "messages above %s (%s) %s", config.ByteSize(limit), whose, what)
}

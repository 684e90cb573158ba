package nats

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/publisher"
)

// Credentials say who connects. At most one kind is set; what stands in a URL
// goes before a user or a token here. Certificates of clients belong to TLS, and
// so to Config.Options.
type Credentials struct {
	User     string
	Password config.Secret
	// Token is the server's authorization token.
	Token config.Secret
	// CredsFile is the path of a file with a user's JWT and the seed it is signed
	// with, as "nsc generate creds" writes it. It is read at each connection, so it can
	// be renewed without a restart.
	CredsFile string
	// NkeyFile is the path of a file with the seed of a user's nkey. It is read at
	// each connection.
	NkeyFile string
}

// A fileError is that of a file of credentials.
type fileError struct {
	key string // of the configuration
	err error
}

func (e *fileError) Error() string { return e.key + ": " + e.err.Error() }
func (e *fileError) Unwrap() error { return e.err }

// options returns the connection's options. A file that cannot be used is a
// permanent error.
func (c *Credentials) options() ([]nats.Option, error) {
	switch {
	case c.CredsFile != "":
		if err := checkCreds(c.CredsFile); err != nil {
			return nil, publisher.Permanent(&fileError{"publisher.nats.credsFile", err})
		}
		return []nats.Option{nats.UserCredentials(c.CredsFile)}, nil
	case c.NkeyFile != "":
		opt, err := nats.NkeyOptionFromSeed(c.NkeyFile)
		if err != nil {
			err = fmt.Errorf("%s does not hold the seed of a user's nkey: %w", c.NkeyFile, err)
			return nil, publisher.Permanent(&fileError{"publisher.nats.nkeyFile", err})
		}
		return []nats.Option{opt}, nil
	case c.Token != "":
		return []nats.Option{nats.Token(c.Token.Reveal())}, nil
	case c.User != "":
		return []nats.Option{nats.UserInfo(c.User, c.Password.Reveal())}, nil
	}
	return nil, nil
}

// checkCreds wants a file to hold a user's JWT and seed. The client would send
// whatever it holds to the server.
func checkCreds(path string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	pair, err := nkeys.ParseDecoratedUserNKey(content)
	if err != nil || !strings.Contains(string(content), "BEGIN NATS USER JWT") {
		return fmt.Errorf("%s does not hold a user's JWT and seed: write it with nsc generate creds", path)
	}
	pair.Wipe()
	return nil
}

// options returns what all connections of this configuration share.
func (c *Config) options() ([]nats.Option, error) {
	if err := checkAddresses(c.URLs); err != nil {
		return nil, err
	}
	opts, err := c.Credentials.options()
	return append(opts, c.Options...), err
}

// refusals are the errors of a connection that only another configuration mends.
var refusals = []error{
	nats.ErrAuthorization, nats.ErrAuthExpired, nats.ErrAuthRevoked, nats.ErrAccountAuthExpired,
	nats.ErrNkeysNotSupported, nats.ErrSecureConnRequired, nats.ErrSecureConnWanted,
}

// connectError judges why there is no connection to the servers at urls. What
// trying again cannot mend is permanent and says what to change.
func connectError(urls []string, err error) error {
	remedy := ""
	switch {
	case err == nil:
		return nil
	case errors.Is(err, nats.ErrSecureConnRequired):
		remedy = ": set publisher.enableTLS: true"
	case errors.Is(err, nats.ErrSecureConnWanted):
		remedy = ": the server has no TLS: remove publisher.enableTLS"
	case refusesCertificate(err):
		remedy = certificateRemedy
		err = publisher.Permanent(err)
	case closedAfterHandshake(err):
		remedy = certificateRemedy
	case isAny(err, refusals):
		remedy = ": correct publisher.user and publisher.password, publisher.nats.token, credsFile or nkeyFile"
	}
	if isAny(err, refusals) {
		err = publisher.Permanent(err)
	}
	return fmt.Errorf("connect to NATS at %v: %w%s", config.Addresses(urls), err, remedy)
}

const certificateRemedy = ": set publisher.clientCert and publisher.clientKey to a certificate the server trusts"

func isAny(err error, of []error) bool {
	for _, e := range of {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// refusesCertificate reports whether the server has ended the TLS handshake for
// what it thinks of our certificate (RFC 8446, section 6.2); crypto/tls does not
// export the type of the alert.
func refusesCertificate(err error) bool {
	for _, alert := range []string{"certificate required", "bad certificate", "unknown certificate", "expired certificate", "revoked certificate"} {
		if strings.Contains(err.Error(), "remote error: tls: "+alert) {
			return true
		}
	}
	return false
}

// closedAfterHandshake reports whether the connection was closed right after the
// TLS handshake. So does a server that refuses our certificate, if we write before
// its alert has come; but so does a proxy whose server is away, so it is tried
// again.
func closedAfterHandshake(err error) bool {
	return errors.Is(err, nats.ErrTLS) && strings.Contains(err.Error(), "closed by remote after TLS handshake")
}

// rightsError makes a permanent error of err if the server has said that the
// user may not do what the session has to.
func (s *session) rightsError(err error) error {
	said := s.nc.LastError()
	if err == nil || publisher.IsPermanent(err) || !errors.Is(said, nats.ErrPermissionViolation) {
		return err
	}
	return publisher.Permanent(fmt.Errorf("%w (%w): let the user publish to %s.> and $JS.API.>, and subscribe to _INBOX.>",
		err, said, s.p.cfg.Topic))
}

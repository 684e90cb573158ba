package nats

import (
	"crypto/ecdsa"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/internal/natsserver"
	"github.com/walherald/walherald/internal/testcert"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/publishertest"
)

// keyPair makes a pair of keys and returns its public key.
func keyPair(t *testing.T, create func() (nkeys.KeyPair, error)) (nkeys.KeyPair, string) {
	t.Helper()
	pair, err := create()
	if err != nil {
		t.Fatal(err)
	}
	public, err := pair.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return pair, public
}

// seedOf is the secret of a pair.
func seedOf(t *testing.T, pair nkeys.KeyPair) string {
	t.Helper()
	seed, err := pair.Seed()
	if err != nil {
		t.Fatal(err)
	}
	return string(seed)
}

// secretFile writes a file of the test.
func secretFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// operatorServer is a server whose users belong to accounts that an operator has
// signed. creds makes the credentials of a user of its only account.
func operatorServer(t *testing.T) (url string, creds func() string) {
	t.Helper()
	operator, operatorKey := keyPair(t, nkeys.CreateOperator)
	account, accountKey := keyPair(t, nkeys.CreateAccount)
	_, systemKey := keyPair(t, nkeys.CreateAccount)
	claims := jwt.NewOperatorClaims(operatorKey)
	claims.SystemAccount = systemKey
	resolver := &server.MemAccResolver{}
	for _, key := range []string{accountKey, systemKey} {
		c := jwt.NewAccountClaims(key)
		if key == accountKey {
			c.Limits.JetStreamLimits = jwt.JetStreamLimits{MemoryStorage: -1, DiskStorage: -1, Streams: -1, Consumer: -1}
		}
		signed, err := c.Encode(operator)
		if err != nil {
			t.Fatal(err)
		}
		if err := resolver.Store(key, signed); err != nil {
			t.Fatal(err)
		}
	}
	srv := natsserver.InProcess(t, func(o *server.Options) {
		o.TrustedOperators, o.SystemAccount, o.AccountResolver = []*jwt.OperatorClaims{claims}, systemKey, resolver
	})
	return srv.ClientURL(), func() string { return userCreds(t, account) }
}

// userCreds is what nsc generate creds writes for a new user of the account.
func userCreds(t *testing.T, account nkeys.KeyPair) string {
	t.Helper()
	user, userKey := keyPair(t, nkeys.CreateUser)
	signed, err := jwt.NewUserClaims(userKey).Encode(account)
	if err != nil {
		t.Fatal(err)
	}
	content, err := jwt.FormatUserConfig(signed, []byte(seedOf(t, user)))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// login is a server, what it takes, what it does not, and the secrets in both.
type login struct {
	url          string
	right, wrong Config
	secrets      []string
}

// logins are the kinds of credentials.
var logins = map[string]func(t *testing.T) login{
	"user and password": func(t *testing.T) login {
		srv := natsserver.InProcess(t, func(o *server.Options) { o.Username, o.Password = "u", "richtig" })
		return login{
			url:   srv.ClientURL(),
			right: Config{Credentials: Credentials{User: "u", Password: "richtig"}},
			wrong: Config{Credentials: Credentials{User: "u", Password: "geheim"}}, secrets: []string{"richtig", "geheim"},
		}
	},
	"token": func(t *testing.T) login {
		srv := natsserver.InProcess(t, func(o *server.Options) { o.Authorization = "richtig" })
		return login{
			url:   srv.ClientURL(),
			right: Config{Credentials: Credentials{Token: "richtig"}},
			wrong: Config{Credentials: Credentials{Token: "geheim"}}, secrets: []string{"richtig", "geheim"},
		}
	},
	"nkey": func(t *testing.T) login {
		right, public := keyPair(t, nkeys.CreateUser)
		wrong, _ := keyPair(t, nkeys.CreateUser)
		srv := natsserver.InProcess(t, func(o *server.Options) { o.Nkeys = []*server.NkeyUser{{Nkey: public}} })
		return login{
			url:     srv.ClientURL(),
			right:   Config{Credentials: Credentials{NkeyFile: secretFile(t, seedOf(t, right))}},
			wrong:   Config{Credentials: Credentials{NkeyFile: secretFile(t, seedOf(t, wrong))}},
			secrets: []string{seedOf(t, right), seedOf(t, wrong)},
		}
	},
	"creds": func(t *testing.T) login {
		url, creds := operatorServer(t)
		stranger, _ := keyPair(t, nkeys.CreateAccount)
		right, wrong := creds(), userCreds(t, stranger)
		l := login{
			url:   url,
			right: Config{Credentials: Credentials{CredsFile: secretFile(t, right)}},
			wrong: Config{Credentials: Credentials{CredsFile: secretFile(t, wrong)}},
		}
		for line := range strings.Lines(right + wrong) {
			if line = strings.TrimSpace(line); len(line) > 50 && !strings.ContainsAny(line, " -") { // JWT and seed
				l.secrets = append(l.secrets, line)
			}
		}
		return l
	},
	"certificate": func(t *testing.T) login {
		authority := testcert.New(t)
		serverCert, _ := authority.Issue("nats")
		clientCert, _ := authority.Issue("herald")
		srv := natsserver.InProcess(t, func(o *server.Options) {
			o.TLSConfig, o.TLSTimeout = &tls.Config{
				Certificates: []tls.Certificate{serverCert}, MinVersion: tls.VersionTLS12,
				ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: authority.Pool(),
			}, 10
		})
		with := func(certs ...tls.Certificate) Config {
			tc := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: authority.Pool(), Certificates: certs}
			return Config{Options: []natsgo.Option{natsgo.Secure(tc)}}
		}
		return login{
			url: srv.ClientURL(), right: with(clientCert), wrong: with(),
			secrets: []string{privateKey(t, clientCert)},
		}
	},
}

// privateKey returns the key in the digits that a log would show it in.
func privateKey(t *testing.T, cert tls.Certificate) string {
	t.Helper()
	key, err := cert.PrivateKey.(*ecdsa.PrivateKey).Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", key)
}

// loggedDelivery delivers one message and returns everything logged, too.
func loggedDelivery(t *testing.T, cfg Config) (logged string, err error) {
	t.Helper()
	var log strings.Builder
	cfg.Topic = "cdc"
	p := New(cfg, Hooks{}, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	err = p.Deliver(t.Context(), changes(0, 1))
	if closeErr := p.Close(); closeErr != nil {
		t.Error(closeErr)
	}
	return log.String(), err
}

func TestEachKindOfCredentialsLogsInAndIsNeverShown(t *testing.T) {
	for name, start := range logins {
		t.Run(name, func(t *testing.T) {
			l := start(t)
			// The first address is nobody's: the next is tried.
			l.right.URLs, l.wrong.URLs = []string{"nats://127.0.0.1:1", l.url}, []string{l.url}
			log, err := loggedDelivery(t, l.right)
			if err != nil {
				t.Fatal(err)
			}
			wrongLog, err := loggedDelivery(t, l.wrong)
			for closedAfterHandshake(err) && !publisher.IsPermanent(err) { // the reason has not come before the end
				if !strings.Contains(err.Error(), "publisher.clientCert") {
					t.Errorf("%v does not say what to do", err)
				}
				wrongLog, err = loggedDelivery(t, l.wrong)
			}
			publishertest.ExpectPermanent(t, err, "publisher.")
			for _, secret := range l.secrets {
				if strings.Contains(log+wrongLog+err.Error(), secret) {
					t.Errorf("a secret is shown: %s%s%v", log, wrongLog, err)
				}
			}
			if len(l.secrets) == 0 {
				t.Error("no secret is looked for")
			}
		})
	}
}

func TestFileOfCredentialsThatCannotBeUsedIsAPermanentErrorThatNamesItsKey(t *testing.T) {
	url := natsserver.InProcess(t).ClientURL()
	empty := secretFile(t, "SUAgeheim\n")
	for _, c := range []Credentials{
		{CredsFile: "/missing/creds"},
		{CredsFile: empty},
		{NkeyFile: "/missing/nkey"},
		{NkeyFile: empty},
	} {
		key, path := "publisher.nats.credsFile", c.CredsFile
		if path == "" {
			key, path = "publisher.nats.nkeyFile", c.NkeyFile
		}
		cfg := Config{URLs: []string{url}, Topic: "cdc", Credentials: c}
		_, err := loggedDelivery(t, cfg)
		publishertest.ExpectPermanent(t, err, key, path)
		if strings.Contains(err.Error(), "geheim") {
			t.Errorf("the file is shown: %v", err)
		}
		publishertest.ExpectFinding(t, checkConfig(t, cfg), config.FindingError, key, path)
	}
	if _, err := loggedDelivery(t, Config{URLs: []string{url}, Credentials: Credentials{CredsFile: "/missing"}}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// A user's JWT runs out; whoever renews it writes the file anew.
func TestRenewedCredentialsAreReadAtTheNextConnection(t *testing.T) {
	url, creds := operatorServer(t)
	stranger, _ := keyPair(t, nkeys.CreateAccount)
	path := secretFile(t, userCreds(t, stranger))
	p := New(Config{URLs: []string{url}, Topic: "cdc", Credentials: Credentials{CredsFile: path}}, Hooks{}, slog.New(slog.DiscardHandler))
	publishertest.ExpectPermanent(t, p.Deliver(t.Context(), nil), "credsFile")
	if err := os.WriteFile(path, []byte(creds()), 0o600); err != nil {
		t.Fatal(err)
	}
	publishertest.Deliver(t, p, changes(0, 1))
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

func TestMissingRightsEndTheRetriesAndAreNamed(t *testing.T) {
	for name, publish := range map[string][]string{
		"api": {"cdc.>"}, "subject": {"$JS.API.>"},
	} {
		t.Run(name, func(t *testing.T) {
			srv := natsserver.InProcess(t, func(o *server.Options) {
				o.Users = []*server.User{
					{Username: "admin", Password: "a"},
					{Username: "u", Password: "p", Permissions: &server.Permissions{
						Publish: &server.SubjectPermission{Allow: publish},
					}},
				}
			})
			makeStream(t, strings.Replace(srv.ClientURL(), "//", "//admin:a@", 1), streamFor(ModeFast))
			p := New(Config{URLs: []string{srv.ClientURL()}, Topic: "cdc", Credentials: Credentials{User: "u", Password: "p"}},
				Hooks{}, slog.New(slog.DiscardHandler))
			failed := 0
			publishertest.ExpectPermanent(t, publishertest.Retrying(p, &failed).Deliver(t.Context(), changes(0, 10)), "ermissions", "$JS.API.>", "cdc.>")
			if failed > 0 {
				t.Errorf("%d more attempts are made", failed)
			}
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

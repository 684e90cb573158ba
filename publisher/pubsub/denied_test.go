package pubsub

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/walherald/walherald/internal/pubsubserver"
	"github.com/walherald/walherald/internal/testcert"
	"github.com/walherald/walherald/publisher/publishertest"
)

// writeJSON writes a file of credentials.
func writeJSON(t *testing.T, content map[string]any) string {
	t.Helper()
	text, err := json.Marshal(content)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "credentials.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// serviceAccount writes the key file of a service account that nobody knows.
func serviceAccount(t *testing.T) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return writeJSON(t, map[string]any{
		"type": "service_account", "project_id": testProject, "private_key_id": "1",
		"client_email": "herald@" + testProject + ".iam.gserviceaccount.com", "client_id": "2",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		"token_uri":   "https://127.0.0.1:1/token",
	})
}

// tlsServer starts a fake server with TLS, and returns what makes a Publisher
// use it as if it were the service.
func tlsServer(t *testing.T) (*pubsubserver.Fake, func(*Config)) {
	t.Helper()
	authority := testcert.New(t)
	pair, _ := authority.Issue("pubsub")
	f := pubsubserver.FakeTLSForTest(t, credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}))
	return f, func(cfg *Config) {
		cfg.Emulator, cfg.Endpoint = "", f.Addr()
		cfg.Options = append(cfg.Options, option.WithGRPCDialOption(grpc.WithTransportCredentials(
			credentials.NewTLS(&tls.Config{RootCAs: authority.Pool(), MinVersion: tls.VersionTLS12}))))
	}
}

// answering answers every call with a status.
func answering(code codes.Code, text string) pubsubserver.Fault {
	return func(context.Context, string, any, func() (any, error)) (any, error) {
		return nil, status.Error(code, text)
	}
}

// deniedPublisher has the key of a service account that the server does not know.
func deniedPublisher(t *testing.T) *Publisher {
	t.Helper()
	f, use := tlsServer(t)
	f.Inject(answering(codes.Unauthenticated, "request had invalid authentication credentials"))
	return newPublisher("", Hooks{}, use, func(cfg *Config) { cfg.CredentialsFile = serviceAccount(t) })
}

// tokenServer hands out tokens, or an answer in their place.
func tokenServer(t *testing.T, code int) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_, _ = w.Write([]byte(`{"access_token":"t","issued_token_type":"urn:ietf:params:oauth:token-type:access_token","token_type":"Bearer","expires_in":3600}`))
	}))
	t.Cleanup(s.Close)
	return s
}

// federated writes the file of an account whose tokens a server of ours has.
func federated(t *testing.T, url string) string {
	t.Helper()
	subject := filepath.Join(t.TempDir(), "subject")
	if err := os.WriteFile(subject, []byte("subject-secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	return writeJSON(t, map[string]any{
		"type": "external_account", "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q",
		"subject_token_type": "urn:ietf:params:oauth:token-type:jwt", "token_url": url,
		"credential_source": map[string]string{"file": subject},
	})
}

func TestTokensThatCannotBeHadNowAreWaitedFor(t *testing.T) {
	answers := map[string]int{"InTrouble": http.StatusServiceUnavailable, "Busy": http.StatusTooManyRequests, "Away": 0}
	for name, code := range answers {
		t.Run(name, func(t *testing.T) {
			_, use := tlsServer(t)
			s := tokenServer(t, code)
			if code == 0 {
				s.Close()
			}
			p := open(t, "", use, func(cfg *Config) { cfg.CredentialsFile = federated(t, s.URL) })
			publishertest.ExpectTemporary(t, p.Deliver(t.Context(), nil))
		})
	}
}

func TestTokensThatAreRefusedEndTheRetries(t *testing.T) {
	for _, code := range []int{http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden} {
		_, use := tlsServer(t)
		p := open(t, "", use, func(cfg *Config) { cfg.CredentialsFile = federated(t, tokenServer(t, code).URL) })
		err := p.Deliver(t.Context(), nil)
		publishertest.ExpectPermanent(t, err, "publisher.pubsub.credentialsFile")
		if strings.Contains(err.Error(), "subject-secret") {
			t.Errorf("the error shows a secret: %v", err)
		}
	}
}

func TestCredentialsOfEveryKindAreUsed(t *testing.T) {
	for name, file := range map[string]string{
		"ServiceAccount": serviceAccount(t),
		"Federated":      federated(t, tokenServer(t, http.StatusOK).URL),
	} {
		t.Run(name, func(t *testing.T) {
			f, use := tlsServer(t)
			var token string
			f.Inject(func(ctx context.Context, _ string, _ any, handle func() (any, error)) (any, error) {
				md, _ := metadata.FromIncomingContext(ctx)
				token = strings.Join(md.Get("authorization"), " ")
				return handle()
			})
			publishertest.Deliver(t, open(t, "", use, func(cfg *Config) { cfg.CredentialsFile = file }), nil)
			if !strings.HasPrefix(token, "Bearer ") {
				t.Errorf("the server is shown %q", token)
			}
		})
	}
}

func TestCredentialsThatCannotBeReadSayWhere(t *testing.T) {
	const secret = "-----BEGIN PRIVATE KEY----- MIIEvQ"
	broken := filepath.Join(t.TempDir(), "broken.json")
	if err := os.WriteFile(broken, []byte(`{"type": "service_account", "private_key": "`+secret), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{
		"Absent":      filepath.Join(t.TempDir(), "none.json"),
		"Broken":      broken,
		"WithoutType": writeJSON(t, map[string]any{"private_key": secret}),
		"UnknownType": writeJSON(t, map[string]any{"type": "passport", "private_key": secret}),
		"BadKey":      writeJSON(t, map[string]any{"type": "service_account", "private_key": secret, "client_email": "a@b"}),
	} {
		t.Run(name, func(t *testing.T) {
			p := open(t, "", func(cfg *Config) { cfg.CredentialsFile = path })
			err := p.Deliver(t.Context(), nil)
			publishertest.ExpectPermanent(t, err, "publisher.pubsub.credentialsFile")
			if strings.Contains(err.Error(), secret) {
				t.Errorf("the error shows a secret: %v", err)
			}
		})
	}
}

func TestNoCredentialsAtAllSayHowToGiveThem(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", filepath.Join(home, "none.json"))
	err := open(t, "").Deliver(t.Context(), nil)
	publishertest.ExpectPermanent(t, err, "publisher.pubsub.credentialsFile", "GOOGLE_APPLICATION_CREDENTIALS")
}

// The emulator is given no credentials, even where some are configured.
func TestEnvironmentNamesTheEmulator(t *testing.T) {
	f, topic := fakeWithTopic(t)
	t.Setenv(EmulatorVariable, f.Addr())
	p := open(t, "", func(cfg *Config) {
		cfg.Endpoint, cfg.CredentialsFile = "127.0.0.1:1", filepath.Join(t.TempDir(), "none.json")
	})
	publishertest.Deliver(t, p, publishertest.Changes(topic, 0, 1))
	expectExactly(t, stored(t, f, topic), 1)
}

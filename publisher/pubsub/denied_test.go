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
	"testing"

	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/walherald/walherald/internal/pubsubserver"
)

// writeJSON writes a file of credentials.
func writeJSON(t *testing.T, content map[string]string) string {
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
	return writeJSON(t, map[string]string{
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
	issuer := httptest.NewUnstartedServer(http.NotFoundHandler())
	issuer.StartTLS() // for its certificate
	t.Cleanup(issuer.Close)
	roots := x509.NewCertPool()
	roots.AddCert(issuer.Certificate())
	f := pubsubserver.FakeTLSForTest(t, credentials.NewTLS(&tls.Config{Certificates: issuer.TLS.Certificates, MinVersion: tls.VersionTLS12}))
	return f, func(cfg *Config) {
		cfg.Emulator, cfg.Endpoint = "", f.Addr()
		cfg.Options = append(cfg.Options, option.WithGRPCDialOption(grpc.WithTransportCredentials(
			credentials.NewTLS(&tls.Config{RootCAs: roots, ServerName: "example.com", MinVersion: tls.VersionTLS12}))))
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

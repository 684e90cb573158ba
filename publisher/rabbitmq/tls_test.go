package rabbitmq

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/walherald/walherald/internal/rabbitserver"
)

// authority signs certificates.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	dir  string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	a.cert, a.key = template, nil
	a.cert, a.key = a.sign("ca", template, nil)
	return a
}

// sign makes name.pem and name.key; parent nil means self-signed.
func (a *authority) sign(name string, template, parent *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	fatal(a.t, err)
	signer := a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	fatal(a.t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	fatal(a.t, err)
	fatal(a.t, os.WriteFile(a.path(name+".pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	fatal(a.t, os.WriteFile(a.path(name+".key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
	cert, err := x509.ParseCertificate(der)
	fatal(a.t, err)
	return cert, key
}

// issue makes a certificate of the authority for 127.0.0.1 and returns it.
func (a *authority) issue(name string, serial int64) tls.Certificate {
	a.t.Helper()
	a.sign(name, &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a.cert)
	pair, err := tls.LoadX509KeyPair(a.path(name+".pem"), a.path(name+".key"))
	fatal(a.t, err)
	return pair
}

func (a *authority) path(name string) string { return filepath.Join(a.dir, name) }

func TestTLSWithClientCertificates(t *testing.T) {
	a := newAuthority(t)
	a.issue("server", 2)
	client := a.issue("client", 3)
	srv := rabbitserver.ForTest(t, rabbitserver.Options{TLS: &rabbitserver.TLS{
		CACert: a.path("ca.pem"), Cert: a.path("server.pem"), Key: a.path("server.key"), RequireClientCert: true,
	}})
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	b := &broker{t: t, url: srv.URL(), exchange: "tls"}
	b.connect()
	defer func() { fatal(t, b.conn.Close()) }()
	b.bind(amqp.Table{"x-queue-type": "classic"})

	with := func(tc *tls.Config, url string) *Publisher {
		return b.open(func(p *Publisher) { p.cfg.TLS, p.cfg.URLs = tc, []string{url} })
	}
	trusted := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	mutual := trusted.Clone()
	mutual.Certificates = []tls.Certificate{client}
	mustDeliver(t, with(mutual, "amqps://"+srv.TLSAddr()), changes("tls", 0, 70))
	mustDeliver(t, with(mutual, srv.TLSAddr()), changes("tls", 70, 70)) // whatever the scheme
	expectOrder(t, numbers(t, b.takeAll()), 140)

	mustFail(t, with(trusted, srv.TLSAddr()), nil, false, "certificate required")
	mustFail(t, with(&tls.Config{MinVersion: tls.VersionTLS12}, srv.TLSAddr()), nil, false, "unknown authority")
	mustFail(t, with(mutual, srv.Addr()), nil, false, "TLS handshake")
	mustFail(t, with(nil, "amqp://"+srv.TLSAddr()), nil, false, "handshake")
	if path, _ := connectRemedy(checkError(t, with(&tls.Config{MinVersion: tls.VersionTLS12}, srv.TLSAddr()))); path != "publisher.caCert" {
		t.Errorf("check blames %s", path)
	}
}

func checkError(t *testing.T, p *Publisher) error {
	t.Helper()
	err := p.Deliver(t.Context(), nil)
	if err == nil {
		t.Fatal("it connects")
	}
	return err
}

package rabbitmq

import (
	"crypto/tls"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/walherald/walherald/internal/rabbitserver"
	"github.com/walherald/walherald/internal/testcert"
	"github.com/walherald/walherald/publisher/publishertest"
)

func TestTLSWithClientCertificates(t *testing.T) {
	a := testcert.New(t)
	_, server := a.Issue("server")
	client, _ := a.Issue("client")
	srv := rabbitserver.ForTest(t, rabbitserver.Options{TLS: &rabbitserver.TLS{
		CACert: a.File(), Cert: server, Key: server, RequireClientCert: true,
	}})
	b := &broker{t: t, url: srv.URL(), exchange: "tls"}
	b.connect()
	defer func() { fatal(t, b.conn.Close()) }()
	b.bind(amqp.Table{"x-queue-type": "classic"})

	with := func(tc *tls.Config, url string) *Publisher {
		return b.open(func(p *Publisher) { p.cfg.TLS, p.cfg.URLs = tc, []string{url} })
	}
	trusted := &tls.Config{RootCAs: a.Pool(), MinVersion: tls.VersionTLS12}
	mutual := trusted.Clone()
	mutual.Certificates = []tls.Certificate{client}
	publishertest.Deliver(t, with(mutual, "amqps://"+srv.TLSAddr()), changes("tls", 0, 70))
	publishertest.Deliver(t, with(mutual, srv.TLSAddr()), changes("tls", 70, 70)) // whatever the scheme
	publishertest.ExpectOrder(t, numbers(t, b.takeAll()), 140)

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

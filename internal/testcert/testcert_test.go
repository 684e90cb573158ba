package testcert

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"os"
	"testing"
)

func TestCertificatesAreBelievedByWhoTrustsTheirAuthorityAlone(t *testing.T) {
	a, stranger := New(t), New(t)
	pair, _ := a.Issue("herald")
	cert, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, use := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		opts := x509.VerifyOptions{Roots: a.Pool(), DNSName: "127.0.0.1", KeyUsages: []x509.ExtKeyUsage{use}}
		if _, err := cert.Verify(opts); err != nil {
			t.Error(err)
		}
		opts.Roots = stranger.Pool()
		if _, err := cert.Verify(opts); err == nil {
			t.Error("a certificate of another authority is believed")
		}
	}
}

func TestFilesHoldWhatIsReturned(t *testing.T) {
	a := New(t)
	pair, file := a.Issue("herald")
	read, err := tls.LoadX509KeyPair(file, file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(read.Certificate[0], pair.Certificate[0]) {
		t.Error("the file holds another certificate")
	}
	text, err := os.ReadFile(a.File())
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) || !pool.Equal(a.Pool()) {
		t.Errorf("the authority's file holds %s", text)
	}
}

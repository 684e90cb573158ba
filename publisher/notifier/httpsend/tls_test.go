package httpsend

import (
	"crypto/tls"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/walherald/walherald/internal/receiver"
	"github.com/walherald/walherald/internal/testcert"
	"github.com/walherald/walherald/publisher"
)

func TestTLSIsChecked(t *testing.T) {
	authority, stranger := testcert.New(t), testcert.New(t)
	cert, _ := authority.Issue("receiver")
	_, own := authority.Issue("herald")
	_, foreign := stranger.Issue("stranger")
	plain := &tls.Config{Certificates: []tls.Certificate{cert}}
	mutual := &tls.Config{Certificates: []tls.Certificate{cert}, ClientCAs: authority.Pool(), ClientAuth: tls.RequireAndVerifyClientCert}
	old := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	// A client whose certificate is not taken hears of it behind the handshake of TLS
	// 1.3, or finds its connection reset.
	for name, tt := range map[string]struct {
		server *tls.Config
		cfg    Config
		host   string
		want   string // of the error; empty means success
	}{
		"trusted":               {plain, Config{CACert: authority.File()}, "127.0.0.1", ""},
		"unknown authority":     {plain, Config{}, "127.0.0.1", "an authority that is not trusted"},
		"another authority":     {plain, Config{CACert: stranger.File()}, "127.0.0.1", "an authority that is not trusted"},
		"wrong name":            {plain, Config{CACert: authority.File()}, "localhost", "localhost"},
		"known client":          {mutual, Config{CACert: authority.File(), ClientCert: own, ClientKey: own}, "127.0.0.1", ""},
		"no client":             {mutual, Config{CACert: authority.File()}, "127.0.0.1", "call 127.0.0.1:"},
		"unknown client":        {mutual, Config{CACert: authority.File(), ClientCert: foreign, ClientKey: foreign}, "127.0.0.1", "call 127.0.0.1:"},
		"nothing above TLS 1.1": {old, Config{CACert: authority.File()}, "127.0.0.1", "protocol version"},
	} {
		r := receiver.New(t, receiver.Options{TLS: tt.server})
		tt.cfg.AllowPrivate = true
		a, err := call(t.Context(), t, open(t, tt.cfg), strings.Replace(r.URL(), "127.0.0.1", tt.host, 1))
		switch {
		case tt.want == "" && (err != nil || a.Err() != nil || r.Requests()[0].Proto != "HTTP/2.0"):
			t.Errorf("%s: %+v, %v, want success over HTTP/2", name, a, err)
		case tt.want != "" && (err == nil || publisher.IsPermanent(err) || !strings.Contains(err.Error(), tt.want) || r.Count() != 0):
			t.Errorf("%s: %v after %d requests, want an error about %q", name, err, r.Count(), tt.want)
		}
		if tt.cfg.ClientCert == own && r.Requests()[0].Client != "herald" {
			t.Errorf("the client is %q", r.Requests()[0].Client)
		}
	}
}

func TestHTTP2CarriesManyRequestsAtOnce(t *testing.T) {
	const senders = 32
	authority := testcert.New(t)
	cert, _ := authority.Issue("receiver")
	release := make(chan struct{})
	r := receiver.New(t, receiver.Options{
		TLS: &tls.Config{Certificates: []tls.Certificate{cert}}, Answer: receiver.Always(receiver.Hang(release)),
	})
	c := open(t, Config{AllowPrivate: true, Concurrency: senders, CACert: authority.File()})
	var sending sync.WaitGroup
	for range senders {
		sending.Go(func() {
			if a, err := call(t.Context(), t, c, r.URL()); err != nil || a.Err() != nil {
				t.Errorf("%+v: %v", a, err)
			}
		})
	}
	r.Await(t, senders)
	close(release)
	sending.Wait()
	if r.Peak() != senders || r.Connections() > senders {
		t.Errorf("at most %d requests were under way, over %d connections", r.Peak(), r.Connections())
	}
}

func TestFilesThatHoldNothingAreNamed(t *testing.T) {
	file := t.TempDir() + "/empty.pem"
	if err := os.WriteFile(file, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, cfg := range []Config{{CACert: file}, {ClientCert: file, ClientKey: file}} {
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
}

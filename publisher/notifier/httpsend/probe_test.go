package httpsend

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/walherald/walherald/internal/receiver"
	"github.com/walherald/walherald/internal/testcert"
	"github.com/walherald/walherald/publisher"
)

func TestProbeSeesWhatARequestWouldMeetAndSendsNone(t *testing.T) {
	authority, stranger := testcert.New(t), testcert.New(t)
	cert, _ := authority.Issue("receiver")
	_, own := authority.Issue("herald")
	_, foreign := stranger.Issue("stranger")
	plain := &tls.Config{Certificates: []tls.Certificate{cert}}
	mutual := &tls.Config{Certificates: []tls.Certificate{cert}, ClientCAs: authority.Pool(), ClientAuth: tls.RequireAndVerifyClientCert}
	mutual12 := mutual.Clone()
	mutual12.MaxVersion = tls.VersionTLS12
	for name, tt := range map[string]struct {
		server *tls.Config
		cfg    Config
		host   string
		want   string // of the error; empty means success
	}{
		"without TLS":                 {nil, Config{}, "127.0.0.1", ""},
		"trusted":                     {plain, Config{CACert: authority.File()}, "127.0.0.1", ""},
		"unknown authority":           {plain, Config{}, "127.0.0.1", "an authority that is not trusted"},
		"wrong name":                  {plain, Config{CACert: authority.File()}, "localhost", "localhost"},
		"known client":                {mutual, Config{CACert: authority.File(), ClientCert: own, ClientKey: own}, "127.0.0.1", ""},
		"known client of TLS 1.2":     {mutual12, Config{CACert: authority.File(), ClientCert: own, ClientKey: own}, "127.0.0.1", ""},
		"no client":                   {mutual, Config{CACert: authority.File()}, "127.0.0.1", "certificate required"},
		"unknown client":              {mutual, Config{CACert: authority.File(), ClientCert: foreign, ClientKey: foreign}, "127.0.0.1", "call 127.0.0.1:"},
		"unknown client of TLS 1.2":   {mutual12, Config{CACert: authority.File(), ClientCert: foreign, ClientKey: foreign}, "127.0.0.1", "call 127.0.0.1:"},
		"a name that does not exist":  {nil, Config{}, "nowhere.invalid", "nowhere.invalid"},
		"nobody on the address at it": {nil, Config{}, "127.0.0.2", "connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			r := receiver.New(t, receiver.Options{TLS: tt.server})
			tt.cfg.AllowPrivate = true
			err := open(t, tt.cfg).Probe(t.Context(), strings.Replace(r.URL(), "127.0.0.1", tt.host, 1)+"/hunter2?hunter2")
			switch {
			case tt.want == "" && err != nil:
				t.Error(err)
			case tt.want != "" && (err == nil || publisher.IsPermanent(err) || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2")):
				t.Errorf("%v, want an error about %q", err, tt.want)
			}
			if r.Count() != 0 {
				t.Errorf("%d requests arrived", r.Count())
			}
		})
	}
}

func TestProbeRefusesWhatMayNotBeCalled(t *testing.T) {
	r := receiver.New(t, receiver.Options{})
	err := open(t, Config{}).Probe(t.Context(), r.URL())
	if !publisher.IsPermanent(err) || !strings.Contains(err.Error(), "127.0.0.1, which is loopback") || r.Connections() != 0 {
		t.Errorf("%v, after %d connections", err, r.Connections())
	}
	for _, address := range []string{"ftp://example.org", "hunter2", "http://:80/hunter2", "http://hunter2\x00"} {
		if err := open(t, Config{}).Probe(t.Context(), address); !publisher.IsPermanent(err) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v", err)
		}
	}
}

// A server that takes connections and says nothing is not waited for longer than
// requests would wait.
func TestProbeEndsWhereNobodyAnswers(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	address := "https://" + silent.Addr().String()
	err = open(t, Config{AllowPrivate: true, Timeout: 50 * time.Millisecond}).Probe(t.Context(), address)
	if err == nil || !strings.Contains(err.Error(), "no connection within 50ms") {
		t.Errorf("%v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := open(t, Config{AllowPrivate: true}).Probe(ended, address); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

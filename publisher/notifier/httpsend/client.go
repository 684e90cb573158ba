// Package httpsend makes the HTTP requests of all senders of notifications, to
// addresses that somebody else may have chosen.
//
// # What is called
//
// A URL is a name, and a name can lead anywhere: to the metadata service of a cloud,
// to a database's neighbour, to walherald itself. Unless Config.AllowPrivate is set,
// only addresses of the public internet are called. What is looked at is the address
// that is about to be dialled, after the name was resolved, so a name whose address
// changes in between gains nothing. For the same reason proxies in the environment
// (HTTPS_PROXY) are not used: of what a proxy calls nothing could be said here. And
// redirects are not followed: a 3xx is an error that says so.
//
// # What counts as delivered
//
// The status is the answer. The body of an answer is read for as long as it comes at
// once, so that the connection can be used again; one that is slow or large is given
// up together with its connection, and changes nothing. [Answer.Err] tells errors
// that another attempt may mend (408, 429, 5xx, with Retry-After) from those that it
// cannot. Without a status (no connection, no TLS, a timeout, a reset) nobody knows
// whether the request was carried out: a receiver has to know requests by an id of
// theirs, as the next attempt may be the second one it sees.
//
// One call of [Client.Do] is one attempt. Only a request of which nothing was sent,
// because an idle connection turned out to be closed, is made again on another one.
//
// # What errors say
//
// They name the host and what happened. The URL's path, query and user, header values
// and texts that the other side sent are never in them, as all of these may hold
// secrets; nor is what it wrote instead of HTTP. Package net/http, however, prints what
// comes unasked behind an answer through package log ("Unsolicited response received"):
// a process whose logs are to hold no secrets has to silence that.
package httpsend

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/publisher"
)

const (
	// MaxBody is how many bytes of an answer's body are kept.
	MaxBody = 64 << 10
	// bodyTime is how long the body may take once the status is there.
	bodyTime = time.Second
	// maxHeader bounds the header of an answer in bytes.
	maxHeader = 64 << 10
	// idleTime is when a connection without requests is closed. Most servers wait
	// longer, so that it is seldom they who do it, in the middle of a request.
	idleTime = 30 * time.Second
	// pingAfter is how long an HTTP/2 connection may be silent before it is asked
	// whether it lives, and how long it has to answer. Without that, requests
	// would go on being put on one that is dead.
	pingAfter = 10 * time.Second
	// defaultTimeout is for a Config without one.
	defaultTimeout = 10 * time.Second
)

// Config says how requests are made.
type Config struct {
	// Timeout bounds a request from its beginning to the answer's status; 0 means
	// 10 s.
	Timeout time.Duration
	// AllowPrivate lets addresses be called that are not of the public internet.
	AllowPrivate bool
	// Concurrency is how many connections to a host are opened and kept; below 1
	// means 1. With HTTP/2 one carries many requests.
	Concurrency int
	// CACert, ClientCert and ClientKey are PEM files. Empty means the system's
	// authorities and no certificate of ours.
	CACert, ClientCert, ClientKey string
}

// Client makes requests. It is safe for concurrent use.
type Client struct {
	transport *http.Transport
	dialer    net.Dialer
	cfg       Config
	closed    context.Context // ends with Close, and with it what is being dialled
	cancel    context.CancelFunc
}

// For makes the client that a destination's keys describe.
func For(d *config.Destination) (*Client, error) {
	return New(Config{
		Timeout: d.Timeout, AllowPrivate: d.AllowPrivate, Concurrency: d.Concurrency,
		CACert: d.CACert, ClientCert: d.ClientCert, ClientKey: d.ClientKey,
	})
}

// New makes a client, which the caller closes. The files are read now; an error
// begins with the key of the one at fault.
func New(cfg Config) (*Client, error) {
	secure, err := tlsConfig(&cfg)
	if err != nil {
		return nil, err
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = defaultTimeout
	}
	cfg.Concurrency = max(cfg.Concurrency, 1)
	c := &Client{cfg: cfg, dialer: net.Dialer{Timeout: cfg.Timeout}}
	c.closed, c.cancel = context.WithCancel(context.Background())
	c.transport = &http.Transport{
		DialContext:            c.dial,
		TLSClientConfig:        secure,
		TLSHandshakeTimeout:    cfg.Timeout,
		MaxIdleConnsPerHost:    cfg.Concurrency,
		MaxConnsPerHost:        cfg.Concurrency,
		IdleConnTimeout:        idleTime,
		MaxResponseHeaderBytes: maxHeader,
		DisableCompression:     true, // answers are short
		ForceAttemptHTTP2:      true,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingAfter},
	}
	return c, nil
}

// Close gives up connections. Do must not be called after it.
func (c *Client) Close() {
	c.cancel()
	c.transport.CloseIdleConnections()
}

// Do makes one request and returns what was answered, whatever the status: see
// [Answer.Err]. header may be nil; Host in it replaces the URL's, User-Agent is
// walherald unless it is there, and a user in the URL becomes basic authorization. An
// error means that there was no answer. The body must not be changed, even after Do has
// returned: an endpoint can answer before it has read all of it. The error satisfies
// [publisher.IsPermanent] only for an address that may not be called and for a request
// that cannot be made.
func (c *Client) Do(ctx context.Context, method, url string, header http.Header, body []byte) (Answer, error) {
	within, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	req, err := request(within, method, url, header, body)
	if err != nil {
		return Answer{}, err
	}
	// Not through an http.Client, which follows redirects and whose errors quote
	// the URL.
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		return Answer{}, c.failure(ctx, within, req.URL.Host, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusSwitchingProtocols {
		// What would be read is the connection, which neither ctx nor a timeout ends.
		return Answer{Status: resp.StatusCode, Header: resp.Header}, nil
	}
	defer time.AfterFunc(bodyTime, cancel).Stop()
	// One byte more tells a body that ends from one that goes on. An error is the
	// body's affair: the status is here.
	text, _ := io.ReadAll(io.LimitReader(resp.Body, MaxBody+1))
	return Answer{Status: resp.StatusCode, Header: resp.Header, Body: text[:min(len(text), MaxBody)]}, nil
}

// ParseURL parses an address that requests can be made to. The error does not quote it.
func ParseURL(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return nil, errors.New("the url is no http or https URL with a host")
	}
	return u, nil
}

// request makes a request. Errors do not quote the URL.
func request(ctx context.Context, method, address string, header http.Header, body []byte) (*http.Request, error) {
	u, err := ParseURL(address)
	if err != nil {
		return nil, publisher.Permanent(fmt.Errorf("make request: %w", err))
	}
	req, err := http.NewRequestWithContext(ctx, method, u.Scheme+"://"+u.Host, bytes.NewReader(body))
	if err != nil {
		return nil, publisher.Permanent(fmt.Errorf("make request to %s: the method is no name of one, or the host is not valid", u.Host))
	}
	req.URL = u
	if header != nil {
		req.Header = header.Clone()
	}
	if host := req.Header.Get("Host"); host != "" {
		req.Host = host
	}
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", "walherald")
	}
	if u.User != nil && req.Header.Get("Authorization") == "" {
		password, _ := u.User.Password()
		req.SetBasicAuth(u.User.Username(), password)
	}
	return req, nil
}

// tlsConfig reads the files.
func tlsConfig(cfg *Config) (*tls.Config, error) {
	tc := &tls.Config{MinVersion: tls.VersionTLS12}
	if cfg.CACert != "" {
		pem, err := os.ReadFile(cfg.CACert)
		if err != nil {
			return nil, fmt.Errorf("caCert: %w", err)
		}
		tc.RootCAs = x509.NewCertPool()
		if !tc.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("caCert: %s holds no PEM certificate", cfg.CACert)
		}
	}
	if cfg.ClientCert != "" || cfg.ClientKey != "" {
		pair, err := tls.LoadX509KeyPair(cfg.ClientCert, cfg.ClientKey)
		if err != nil {
			return nil, fmt.Errorf("clientCert and clientKey (%q and %q) do not make a pair: %w", cfg.ClientCert, cfg.ClientKey, err)
		}
		tc.Certificates = []tls.Certificate{pair}
	}
	return tc, nil
}

package httpsend

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"time"

	"github.com/walherald/walherald/publisher"
)

const (
	// probeTime bounds a probe.
	probeTime = 5 * time.Second
	// verdictTime is how long is waited for what a server that asked for a
	// certificate of ours says to it. With TLS 1.3 that comes behind the handshake,
	// and only if it says no (RFC 8446, section 4.4.2.4).
	verdictTime = time.Second
)

// Probe finds out, within 5 s or Config.Timeout if that is less, whether requests to
// a URL could be made: the name resolves, the address may be called and answers, and
// both sides agree on TLS. No request is sent, so nothing is said of what would be
// answered. Errors are as those of [Client.Do]. The files of Config are read again.
func (c *Client) Probe(ctx context.Context, address string) error {
	u, err := ParseURL(address)
	if err != nil {
		return publisher.Permanent(err)
	}
	bound := min(probeTime, c.cfg.Timeout)
	within, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	err = c.probe(within, u)
	if err != nil && within.Err() != nil && ctx.Err() == nil && c.closed.Err() == nil {
		return fmt.Errorf("call %s: no connection within %v", u.Host, bound)
	}
	if err != nil {
		return c.failure(ctx, within, u.Host, err)
	}
	return nil
}

func (c *Client) probe(ctx context.Context, u *url.URL) error {
	secure := u.Scheme == "https"
	port := "80"
	if secure {
		port = "443"
	}
	conn, err := c.dial(ctx, "tcp", net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), port)))
	if err != nil {
		return err
	}
	defer conn.Close()
	if !secure {
		return nil
	}
	cfg, err := tlsConfig(&c.cfg)
	if err != nil {
		return ownError(err.Error())
	}
	cfg.ServerName, cfg.NextProtos = u.Hostname(), []string{"h2", "http/1.1"} // as requests have them
	return handshake(ctx, conn, cfg)
}

// handshake agrees on TLS, and hears what a server says to our certificate if it
// asked for one.
func handshake(ctx context.Context, conn net.Conn, cfg *tls.Config) error {
	asked := false
	own := cfg.Certificates
	cfg.GetClientCertificate = func(request *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		asked = true
		for i := range own {
			if request.SupportsCertificate(&own[i]) == nil {
				return &own[i], nil
			}
		}
		return new(tls.Certificate), nil
	}
	session := tls.Client(conn, cfg)
	if err := session.HandshakeContext(ctx); err != nil || !asked {
		return err
	}
	if err := session.SetReadDeadline(time.Now().Add(verdictTime)); err != nil {
		return err
	}
	_, err := session.Read(make([]byte, 1))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil // it has nothing against us
	}
	return err
}

package httpsend

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/walherald/walherald/publisher"
)

// ownError is a text of this package.
type ownError string

func (e ownError) Error() string { return string(e) }

// failure turns what RoundTrip returned into an error that can be shown. What ended
// it comes first: a request that was cut short fails in many ways.
func (c *Client) failure(ctx, within context.Context, host string, err error) error {
	var own ownError
	switch {
	case errors.As(err, &own) && publisher.IsPermanent(err):
		return publisher.Permanent(fmt.Errorf("call %s: %w", host, own))
	case ctx.Err() != nil:
		return fmt.Errorf("call %s: %w", host, ctx.Err())
	case c.closed.Err() != nil:
		return fmt.Errorf("call %s: the client is closed", host)
	case within.Err() != nil:
		return fmt.Errorf("call %s: no answer within %v", host, c.cfg.Timeout)
	case strings.HasPrefix(err.Error(), "net/http: invalid "): // the name of a method or header
		return publisher.Permanent(fmt.Errorf("make request to %s: %w", host, err))
	}
	return fmt.Errorf("call %s: %w", host, reason(err))
}

// reason returns the part of an error of package http that says why and cannot hold
// what the other side wrote, as errors about malformed answers do.
func reason(err error) error {
	if known := errorOf[ownError](err); known != nil {
		return known
	}
	if errorOf[x509.UnknownAuthorityError](err) != nil {
		return ownError("its certificate is of an authority that is not trusted; caCert names a file with one that is")
	}
	for _, known := range []error{
		errorOf[*net.OpError](err), errorOf[*net.DNSError](err), errorOf[*tls.CertificateVerificationError](err),
		errorOf[tls.AlertError](err),
	} {
		if known != nil {
			return known
		}
	}
	switch {
	case errorOf[tls.RecordHeaderError](err) != nil:
		return ownError("it does not speak TLS; is https right in the url?")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return ownError("the connection was closed before an answer")
	}
	return ownError("the connection broke, or what came was no answer in HTTP with a header of at most 64 KiB")
}

// errorOf returns the first T in err's chain, or nil.
func errorOf[T error](err error) error {
	if found, ok := errors.AsType[T](err); ok {
		return found
	}
	return nil
}

package httpsend

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"

	"github.com/walherald/walherald/publisher"
)

// special are the ranges that do not lead to somebody on the public internet, most
// of them of the registries of special-purpose addresses (RFC 6890). Of IPv6 only
// 2000::/3 is given out at all; what is outside of it is refused without a line here.
var special = []struct {
	prefix netip.Prefix
	is     string
}{
	{netip.MustParsePrefix("0.0.0.0/8"), "unspecified"},
	{netip.MustParsePrefix("10.0.0.0/8"), "private"},
	{netip.MustParsePrefix("100.64.0.0/10"), "of a carrier's own network"},
	{netip.MustParsePrefix("127.0.0.0/8"), "loopback"},
	{netip.MustParsePrefix("168.63.129.16/32"), "a cloud's metadata service"}, // Azure
	{netip.MustParsePrefix("169.254.0.0/16"), "link-local"},
	{netip.MustParsePrefix("172.16.0.0/12"), "private"},
	{netip.MustParsePrefix("192.0.0.0/24"), "reserved"},
	{netip.MustParsePrefix("192.0.2.0/24"), "for documentation"},
	{netip.MustParsePrefix("192.88.99.0/24"), "reserved"},
	{netip.MustParsePrefix("192.168.0.0/16"), "private"},
	{netip.MustParsePrefix("198.18.0.0/15"), "for measurements"},
	{netip.MustParsePrefix("198.51.100.0/24"), "for documentation"},
	{netip.MustParsePrefix("203.0.113.0/24"), "for documentation"},
	{netip.MustParsePrefix("224.0.0.0/4"), "multicast"},
	{netip.MustParsePrefix("240.0.0.0/4"), "reserved"},
	{netip.MustParsePrefix("::/128"), "unspecified"},
	{netip.MustParsePrefix("::1/128"), "loopback"},
	{netip.MustParsePrefix("fc00::/7"), "private"},
	{netip.MustParsePrefix("fe80::/10"), "link-local"},
	{netip.MustParsePrefix("ff00::/8"), "multicast"},
	{netip.MustParsePrefix("2001::/23"), "reserved"}, // Teredo (RFC 4380) among them
	{netip.MustParsePrefix("2001:db8::/32"), "for documentation"},
	{netip.MustParsePrefix("2002::/16"), "reserved"}, // 6to4 (RFC 3056)
	{netip.MustParsePrefix("3fff::/20"), "for documentation"},
}

var (
	global = netip.MustParsePrefix("2000::/3")
	// nat64 leads to the IPv4 address in its last 32 bits (RFC 6052).
	nat64 = netip.MustParsePrefix("64:ff9b::/96")
)

// notPublic says what a is if it is not an address of the public internet, and
// nothing if it is.
func notPublic(a netip.Addr) string {
	a = a.Unmap().WithZone("")
	if nat64.Contains(a) {
		all := a.As16()
		a = netip.AddrFrom4([4]byte(all[12:]))
	}
	for _, s := range special {
		if s.prefix.Contains(a) {
			return s.is
		}
	}
	if a.Is6() && !global.Contains(a) {
		return "reserved"
	}
	return ""
}

// dial opens a connection to an address that may be called. A name with several
// addresses is refused only if all of them are.
func (c *Client) dial(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.closed, cancel)()
	if c.cfg.AllowPrivate {
		return c.dialer.DialContext(ctx, network, address)
	}
	var some atomic.Bool // two addresses may be tried at once
	dialer := c.dialer
	dialer.Control = func(_, address string, _ syscall.RawConn) error {
		err := refuse(address)
		if err == nil {
			some.Store(true)
		}
		return err
	}
	conn, err := dialer.DialContext(ctx, network, address)
	if publisher.IsPermanent(err) && some.Load() {
		return nil, ownError("none of its addresses on the public internet answers")
	}
	return conn, err
}

// refuse returns an error for an address, with its port, that may not be called.
func refuse(address string) error {
	a, err := netip.ParseAddrPort(address)
	if err != nil {
		return publisher.Permanent(ownError("it is at an address that cannot be read"))
	}
	if is := notPublic(a.Addr()); is != "" {
		return publisher.Permanent(ownError(fmt.Sprintf("it is at %s, which is %s; if that is meant, set allowPrivate: true", a.Addr(), is)))
	}
	return nil
}

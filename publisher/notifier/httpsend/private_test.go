package httpsend

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/walherald/walherald/internal/receiver"
	"github.com/walherald/walherald/publisher"
)

func TestPrivateAddressesAreRefusedHoweverTheyAreWritten(t *testing.T) {
	r := receiver.New(t, receiver.Options{})
	_, port, err := net.SplitHostPort(r.Addr())
	if err != nil {
		t.Fatal(err)
	}
	c := open(t, Config{})
	for _, host := range []string{
		"127.0.0.1", "127.1.2.3", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]", "0.0.0.0", "[::]",
		"169.254.169.254", "10.0.0.1", "[fe80::1]", "[fd00:ec2::254]", "localhost",
	} {
		_, err := call(t.Context(), t, c, "http://"+host+":"+port)
		if !publisher.IsPermanent(err) || !strings.Contains(err.Error(), "allowPrivate: true") {
			t.Errorf("%s: %v, want a refusal that names allowPrivate", host, err)
		}
	}
	// Some resolvers take these for 127.0.0.1; what package net takes for a name at
	// all is asked of one.
	c.dialer.Resolver = newNames(t, net.IPv4(127, 0, 0, 1)).resolver()
	for _, host := range []string{"2130706433", "0x7f000001", "0177.0.0.1", "127.1"} {
		if _, err := call(t.Context(), t, c, "http://"+host+":"+port); err == nil {
			t.Errorf("%s was called", host)
		}
	}
	if n := r.Count(); n != 0 {
		t.Errorf("%d requests arrived", n)
	}
}

// The check of a name would be worth nothing if the next answer about it could lead
// elsewhere.
func TestANameIsCheckedByTheAddressThatIsDialled(t *testing.T) {
	r := receiver.New(t, receiver.Options{})
	_, port, err := net.SplitHostPort(r.Addr())
	if err != nil {
		t.Fatal(err)
	}
	names := newNames(t, net.IPv4(127, 0, 0, 1))
	for _, private := range []bool{false, true} {
		c := open(t, Config{AllowPrivate: private})
		c.dialer.Resolver = names.resolver()
		a, err := call(t.Context(), t, c, "http://hooks.test:"+port)
		if private && (err != nil || a.Err() != nil) {
			t.Errorf("with allowPrivate: %+v, %v", a, err)
		}
		if !private && (!publisher.IsPermanent(err) || !strings.Contains(err.Error(), "127.0.0.1, which is loopback")) {
			t.Errorf("without: %v", err)
		}
	}
	if n := r.Count(); n != 1 {
		t.Errorf("%d requests arrived, want that with allowPrivate", n)
	}
}

// An address that only fails may answer again; it is not for ever that all others
// are refused.
func TestANameWithAPublicAddressIsNotRefused(t *testing.T) {
	c := open(t, Config{Timeout: time.Second})
	c.dialer.Resolver = newNames(t, net.IPv4(127, 0, 0, 1), net.IPv4(1, 1, 1, 1)).resolver()
	c.dialer.LocalAddr = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} // from which nothing leaves the machine
	_, err := call(t.Context(), t, c, "http://hooks.test")
	if err == nil || publisher.IsPermanent(err) || !strings.Contains(err.Error(), "none of its addresses on the public internet answers") {
		t.Errorf("%v, want an error that is not permanent", err)
	}
}

// names answers every question of DNS for addresses of IPv4 with the same ones.
type names struct {
	addresses []net.IP
	running   sync.WaitGroup
}

func newNames(t *testing.T, addresses ...net.IP) *names {
	n := &names{addresses: addresses}
	t.Cleanup(n.running.Wait)
	return n
}

func (n *names) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe() // no net.PacketConn: messages have their length in front
		n.running.Go(func() {
			defer server.Close()
			for n.answer(server) == nil {
			}
		})
		return client, nil
	}}
}

// answer answers one question (RFC 1035, section 4).
func (n *names) answer(c net.Conn) error {
	var length [2]byte
	if _, err := io.ReadFull(c, length[:]); err != nil {
		return err
	}
	question := make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(c, question); err != nil {
		return err
	}
	end := 12 // behind the header
	for question[end] != 0 {
		end += int(question[end]) + 1
	}
	kind := binary.BigEndian.Uint16(question[end+1:])
	reply := append([]byte{0, 0, question[0], question[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, question[12:end+5]...)
	if kind == 1 {
		reply[9] = byte(len(n.addresses))
		for _, a := range n.addresses { // the name above, A, IN, for no second, 4 bytes
			reply = append(reply, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4)
			reply = append(reply, a.To4()...)
		}
	}
	binary.BigEndian.PutUint16(reply, uint16(len(reply)-2))
	_, err := c.Write(reply)
	return err
}

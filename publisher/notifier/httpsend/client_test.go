package httpsend

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/internal/receiver"
	"github.com/walherald/walherald/internal/testcert"
	"github.com/walherald/walherald/publisher"
)

// secret is in every place of a request that can hold one.
const secret = "hunter2"

// secretly puts the secret into a URL that ends with its host and port.
func secretly(base string) string {
	scheme, host, _ := strings.Cut(base, "://")
	return scheme + "://" + secret + ":" + secret + "@" + host + "/" + secret + "?token=" + secret
}

// open makes a client that the test closes.
func open(t *testing.T, cfg Config) *Client {
	t.Helper()
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// call makes a request with the secret everywhere, to what begins with base, and
// checks that no error holds it.
func call(ctx context.Context, t *testing.T, c *Client, base string) (Answer, error) {
	t.Helper()
	a, err := c.Do(ctx, http.MethodPost, secretly(base), http.Header{"X-Key": {secret}}, []byte(secret))
	for _, e := range []error{err, a.Err()} {
		for ; e != nil; e = errors.Unwrap(e) {
			if text := fmt.Sprintf("%v %+v %#v", e, e, e); strings.Contains(text, secret) {
				t.Errorf("an error holds the secret: %s", text)
			}
		}
	}
	return a, err
}

func TestRequestsArriveAsTheyWereMade(t *testing.T) {
	r := receiver.New(t, receiver.Options{Answer: receiver.Always(receiver.Body(201, "text/plain", "made"))})
	c := open(t, Config{AllowPrivate: true})
	header := http.Header{"X-Key": {"a"}, "Host": {"hooks.test"}}
	a, err := c.Do(t.Context(), http.MethodPut, r.URL()+"/a%2Fb?c=d", header, []byte("body"))
	if err != nil || a.Status != 201 || string(a.Body) != "made" || a.Header.Get("Content-Type") != "text/plain" || a.Err() != nil {
		t.Fatalf("%+v: %v", a, err)
	}
	got := r.Requests()[0]
	if got.Method != http.MethodPut || got.Path != "/a/b" || got.Query != "c=d" || got.Host != "hooks.test" || string(got.Body) != "body" {
		t.Errorf("it came as %+v", got)
	}
	for name, want := range map[string]string{
		"X-Key": "a", "User-Agent": "walherald", "Content-Length": "4", "Authorization": "", "Accept-Encoding": "",
	} {
		if got.Header.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, got.Header.Get(name), want)
		}
	}
	if len(header) != 2 {
		t.Errorf("the caller's header became %v", header)
	}
}

func TestUserAndAgentCanBeSet(t *testing.T) {
	r := receiver.New(t, receiver.Options{})
	c := open(t, Config{AllowPrivate: true})
	for _, header := range []http.Header{nil, {"Authorization": {"Bearer x"}, "User-Agent": {"y"}}} {
		if _, err := c.Do(t.Context(), http.MethodPost, strings.Replace(r.URL(), "//", "//me:pass@", 1), header, nil); err != nil {
			t.Fatal(err)
		}
	}
	first, second := r.Requests()[0].Header, r.Requests()[1].Header
	if got := first.Get("Authorization"); got != "Basic bWU6cGFzcw==" {
		t.Errorf("a user in the URL authorizes by %q", got)
	}
	if second.Get("Authorization") != "Bearer x" || second.Get("User-Agent") != "y" {
		t.Errorf("the header came as %v", second)
	}
}

func TestWithoutAnAnswerAnotherAttemptMayHelp(t *testing.T) {
	port := closedPort(t)
	for name, tt := range map[string]struct {
		base string
		want string
	}{
		"hang":       {serve(t, receiver.Hang(nil)), "no answer within 200ms"},
		"reset":      {serve(t, receiver.Reset()), "connection reset by peer"},
		"closed":     {serve(t, receiver.CloseEarly()), "the connection was closed before an answer"},
		"no port":    {"http://" + port, "connection refused"},
		"no host":    {"http://nowhere.invalid", "lookup nowhere.invalid"},
		"no HTTP":    {serve(t, receiver.Raw(secret+" is what you sent\r\n\r\n")), "no answer in HTTP"},
		"no status":  {serve(t, receiver.Raw("HTTP/1.1 "+secret+"\r\n\r\n")), "no answer in HTTP"},
		"no header":  {serve(t, receiver.Raw("HTTP/1.1 200 OK\r\n"+secret+"\r\n\r\n")), "no answer in HTTP"},
		"big header": {serve(t, receiver.Header("X-Big", strings.Repeat(secret, maxHeader/len(secret)), receiver.Status(200))), "at most 64 KiB"},
		"no TLS":     {strings.Replace(serve(t, nil), "http", "https", 1), "does not speak TLS"},
	} {
		c := open(t, Config{AllowPrivate: true, Timeout: 200 * time.Millisecond})
		c.dialer.Resolver = newNames(t).resolver()
		_, err := call(t.Context(), t, c, tt.base)
		if err == nil || publisher.IsPermanent(err) || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v, want an error of its own that is not permanent", name, err)
			continue
		}
		_, host, _ := strings.Cut(tt.base, "://")
		if !strings.Contains(err.Error(), "call "+host+": ") || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want the host and %q", name, err, tt.want)
		}
	}
}

// serve starts a receiver that always replies so and returns its URL.
func serve(t *testing.T, reply receiver.Reply) string {
	t.Helper()
	return receiver.New(t, receiver.Options{Answer: receiver.Always(reply)}).URL()
}

// closedPort returns the address of a port that nobody listens at.
func closedPort(t *testing.T) string {
	t.Helper()
	r := receiver.New(t, receiver.Options{})
	r.Close()
	return r.Addr()
}

func TestTheStatusIsTheAnswerWhateverBecomesOfTheBody(t *testing.T) {
	for name, tt := range map[string]struct {
		reply receiver.Reply
		body  int // bytes that are kept
	}{
		"slow": {receiver.SlowBody(200, time.Hour), 1}, "cut": {receiver.CutBody(200), 3},
		"long": {receiver.HugeBody(200, MaxBody), MaxBody}, "endless": {receiver.HugeBody(200, -1), MaxBody},
	} {
		r := receiver.New(t, receiver.Options{Answer: receiver.Always(tt.reply)})
		a, err := call(t.Context(), t, open(t, Config{AllowPrivate: true}), r.URL())
		if err != nil || a.Err() != nil || len(a.Body) != tt.body {
			t.Errorf("%s: %d with %d bytes of body: %v, want %d bytes", name, a.Status, len(a.Body), err, tt.body)
		}
		r.AwaitEnded(t, 1) // the connection of a body that goes on is given up
	}
}

// Behind a 101 there is no body but the connection itself, which no context ends.
func TestSwitchOfProtocolsIsARefusalAndEndsTheConnection(t *testing.T) {
	r := receiver.New(t, receiver.Options{Answer: receiver.Always(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", secret)
		w.WriteHeader(http.StatusSwitchingProtocols)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})})
	a, err := call(t.Context(), t, open(t, Config{AllowPrivate: true}), r.URL())
	if err != nil || a.Status != 101 || !publisher.IsPermanent(a.Err()) {
		t.Errorf("%+v, %v: %v", a, err, a.Err())
	}
	r.AwaitEnded(t, 1)
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	target := receiver.New(t, receiver.Options{})
	c := open(t, Config{AllowPrivate: true})
	for _, code := range []int{301, 302, 303, 307, 308} {
		from := serve(t, receiver.Header("Location", target.URL()+"/"+secret, receiver.Status(code)))
		a, err := call(t.Context(), t, c, from)
		if err != nil || a.Status != code || !publisher.IsPermanent(a.Err()) {
			t.Errorf("%d: %+v, %v: %v", code, a, err, a.Err())
		}
	}
	if n := target.Count(); n != 0 {
		t.Errorf("%d requests went where redirects point", n)
	}
}

func TestCancelledIsAnError(t *testing.T) {
	r := receiver.New(t, receiver.Options{Answer: receiver.Always(receiver.Hang(nil))})
	c := open(t, Config{AllowPrivate: true})
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() { _, err := call(ctx, t, c, r.URL()); failed <- err }()
	r.Await(t, 1)
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) || publisher.IsPermanent(err) {
		t.Errorf("cancelled while it waited: %v", err)
	}
	if _, err := call(ctx, t, c, r.URL()); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled before: %v", err)
	}
	r.AwaitEnded(t, 1)
	if n := r.Count(); n != 1 {
		t.Errorf("%d requests were made", n)
	}
	c.Close()
	if _, err := call(t.Context(), t, c, r.URL()); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("a client that was closed: %v", err)
	}
}

func TestRequestsThatCannotBeMadeArePermanent(t *testing.T) {
	c := open(t, Config{})
	for _, url := range []string{
		"", "hunter2", "ftp://hunter2.test/hunter2", "http:///hunter2", "http://a.test/\x00hunter2", "http://a.test/%zzhunter2", "http://[hunter2",
	} {
		_, err := c.Do(t.Context(), http.MethodPost, url, nil, nil)
		if !publisher.IsPermanent(err) || strings.Contains(err.Error(), secret) {
			t.Errorf("%q: %v", url, err)
		}
	}
	for name, tt := range map[string]struct {
		method string
		header http.Header
	}{
		"method": {"PO ST", nil}, "name": {"POST", http.Header{"a b": {secret}}}, "value": {"POST", http.Header{"X-Key": {secret + "\n"}}},
	} {
		_, err := c.Do(t.Context(), tt.method, "http://a.test/hunter2", tt.header, nil)
		if !publisher.IsPermanent(err) || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestConnectionsAreUsedAgain(t *testing.T) {
	const senders, each = 64, 20
	r := receiver.New(t, receiver.Options{Answer: receiver.Always(receiver.Body(200, "text/plain", "ok"))})
	c := open(t, Config{AllowPrivate: true, Concurrency: senders})
	var sending sync.WaitGroup
	for range senders {
		sending.Go(func() {
			for range each {
				if a, err := call(t.Context(), t, c, r.URL()); err != nil || a.Err() != nil {
					t.Errorf("%+v: %v", a, err)
				}
			}
		})
	}
	sending.Wait()
	if n := r.Connections(); n > senders {
		t.Errorf("%d requests took %d connections", r.Count(), n)
	}
}

// A connection that broke must not count for ever among those that may be open.
func TestBrokenConnectionsMakeRoomForOthers(t *testing.T) {
	authority := testcert.New(t)
	cert, _ := authority.Issue("receiver")
	for _, secure := range []*tls.Config{nil, {Certificates: []tls.Certificate{cert}}} {
		ok := receiver.Status(200)
		answer := receiver.Sequence(receiver.Reset(), ok, receiver.CutBody(200), ok, receiver.CloseEarly(), receiver.Hang(nil), receiver.HugeBody(200, -1), ok)
		r := receiver.New(t, receiver.Options{TLS: secure, Answer: answer})
		c := open(t, Config{AllowPrivate: true, Concurrency: 1, CACert: authority.File(), Timeout: time.Second})
		for i, accepted := range []bool{false, true, true, true, false, false, true, true} {
			if a, err := call(t.Context(), t, c, r.URL()); (err == nil && a.Err() == nil) != accepted {
				t.Errorf("%s: request %d: %+v, %v", r.URL(), i, a.Status, err)
			}
		}
	}
}

func TestADestinationsKeysAreThoseOfItsClient(t *testing.T) {
	r := receiver.New(t, receiver.Options{Answer: receiver.Always(receiver.Hang(nil))})
	c, err := For(&config.Destination{Timeout: 50 * time.Millisecond, AllowPrivate: true, Concurrency: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := call(t.Context(), t, c, r.URL()); err == nil || !strings.Contains(err.Error(), "no answer within 50ms") {
		t.Error(err)
	}
	if c.transport.MaxConnsPerHost != 3 || c.transport.MaxIdleConnsPerHost != 3 || c.transport.Proxy != nil {
		t.Errorf("the transport is %+v", c.transport)
	}
	for key, d := range map[string]config.Destination{
		"caCert": {CACert: "/missing.pem"}, "clientCert": {ClientCert: "/missing.pem", ClientKey: "/missing.pem"}, "clientKey": {ClientKey: "/missing.pem"},
	} {
		if _, err := For(&d); err == nil || !strings.Contains(err.Error(), key) || !strings.Contains(err.Error(), "/missing.pem") {
			t.Errorf("%s: %v", key, err)
		}
	}
}

package receiver

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/walherald/walherald/internal/testcert"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// client returns an HTTP client with connections of its own.
func client(t *testing.T, secure *tls.Config) *http.Client {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: secure, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// answer is a response, its body read as far as it came.
type answer struct {
	status int
	header http.Header
	body   string
}

// post sends body.
func post(ctx context.Context, c *http.Client, url, body string) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("X-Test", body)
	resp, err := c.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(text)}, err
}

func TestEveryRequestIsKeptAsItCame(t *testing.T) {
	r := New(t, Options{})
	a, err := post(t.Context(), client(t, nil), r.URL()+"/hook/a?b=c", "payload")
	if err != nil || a.status != http.StatusOK || a.body != "" {
		t.Fatalf("%+v: %v", a, err)
	}
	r.AwaitEnded(t, 1)
	got := r.Requests()[0]
	if got.N != 1 || got.Method != http.MethodPost || got.Path != "/hook/a" || got.Query != "b=c" ||
		got.Host != r.Addr() || got.Proto != "HTTP/1.1" || got.Header.Get("X-Test") != "payload" ||
		string(got.Body) != "payload" || got.Concurrent != 1 || got.Client != "" {
		t.Errorf("the request is %+v", got)
	}
	if got.Arrived.IsZero() || got.Ended.Before(got.Arrived) {
		t.Errorf("it came at %v and ended at %v", got.Arrived, got.Ended)
	}
}

func TestConcurrencyIsSeen(t *testing.T) {
	release := make(chan struct{})
	r := New(t, Options{Answer: Always(Hang(release))})
	c := client(t, nil)
	var sending sync.WaitGroup
	for range 8 {
		sending.Go(func() {
			if a, err := post(t.Context(), c, r.URL(), ""); err != nil || a.status != http.StatusOK {
				t.Errorf("a released request got %+v: %v", a, err)
			}
		})
	}
	r.Await(t, 8)
	if first := r.Requests()[0]; !first.Ended.IsZero() {
		t.Errorf("a request that hangs has ended at %v", first.Ended)
	}
	close(release)
	sending.Wait()
	if last := r.Requests()[7]; r.Peak() != 8 || last.Concurrent != 8 || r.Connections() != 8 || r.Count() != 8 {
		t.Errorf("peak %d, the last request was one of %d, %d connections, %d requests", r.Peak(), last.Concurrent, r.Connections(), r.Count())
	}
}

func TestStatusesAndHeadersAreThoseAskedFor(t *testing.T) {
	at := time.Date(2030, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600))
	for _, tt := range []struct {
		reply         Reply
		status        int
		header, value string
		body          string
	}{
		{Status(418), 418, "Retry-After", "", ""},
		{RetryAfterSeconds(429, 7), 429, "Retry-After", "7", ""},
		{RetryAfterDate(503, at), 503, "Retry-After", "Wed, 02 Jan 2030 02:04:05 GMT", ""},
		{Redirect("http://elsewhere.test/"), 307, "Location", "http://elsewhere.test/", ""},
		{Body(400, "text/plain", "no"), 400, "Content-Type", "text/plain", "no"},
		{Delay(time.Millisecond, Status(204)), 204, "Retry-After", "", ""},
		{nil, 200, "Retry-After", "", ""},
	} {
		r := New(t, Options{Answer: Always(tt.reply)})
		a, err := post(t.Context(), client(t, nil), r.URL(), "")
		if err != nil || a.status != tt.status || a.header.Get(tt.header) != tt.value || a.body != tt.body {
			t.Errorf("got %+v: %v, want %d with %s %q", a, err, tt.status, tt.header, tt.value)
		}
	}
}

func TestAnswersChangeAsTold(t *testing.T) {
	bad, good := Status(500), Status(200)
	for name, tt := range map[string]struct {
		answer Answer
		bodies string // one request each
		want   []int
	}{
		"first":    {First(2, bad, good), "abc", []int{500, 500, 200}},
		"of a key": {FirstPer(func(r *Request) string { return string(r.Body) }, 1, bad, good), "aabba", []int{500, 200, 500, 200, 200}},
		"sequence": {Sequence(Status(503), Status(429), good), "abcd", []int{503, 429, 200, 200}},
	} {
		r := New(t, Options{Answer: tt.answer})
		c := client(t, nil)
		for i, body := range strings.Split(tt.bodies, "") {
			a, err := post(t.Context(), c, r.URL(), body)
			if err != nil || a.status != tt.want[i] {
				t.Errorf("%s: request %d got %+v: %v, want %d", name, i, a, err, tt.want[i])
			}
		}
	}
	r := New(t, Options{Answer: Always(bad)})
	r.SetAnswer(Always(good))
	if a, err := post(t.Context(), client(t, nil), r.URL(), ""); err != nil || a.status != 200 {
		t.Errorf("after SetAnswer: %+v: %v", a, err)
	}
}

func TestConnectionsBreakAsTold(t *testing.T) {
	authority := testcert.New(t)
	cert, _ := authority.Issue("receiver")
	server := &tls.Config{Certificates: []tls.Certificate{cert}}
	for name, tt := range map[string]struct {
		reply Reply
		want  error // over HTTP/1.1
	}{
		"reset":       {Reset(), syscall.ECONNRESET},
		"close early": {CloseEarly(), io.EOF},
		"cut body":    {CutBody(200), io.ErrUnexpectedEOF},
		"raw":         {Raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nraw"), io.ErrUnexpectedEOF},
	} {
		r := New(t, Options{Answer: Always(tt.reply)})
		if _, err := post(t.Context(), client(t, nil), r.URL(), ""); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
		r = New(t, Options{Answer: Always(tt.reply), TLS: server})
		c := client(t, &tls.Config{RootCAs: authority.Pool()})
		if _, err := post(t.Context(), c, r.URL(), ""); err == nil {
			t.Errorf("%s: it does not break over HTTP/2", name)
		}
		r.AwaitEnded(t, 1)
		if got := r.Requests()[0].Proto; got != "HTTP/2.0" {
			t.Errorf("TLS speaks %s", got)
		}
	}
}

func TestBodiesAreSlowOrHugeAsTold(t *testing.T) {
	r := New(t, Options{Answer: Always(HugeBody(200, 100_000))})
	if a, err := post(t.Context(), client(t, nil), r.URL(), ""); err != nil || len(a.body) != 100_000 {
		t.Errorf("%d bytes: %v", len(a.body), err)
	}
	for name, reply := range map[string]Reply{
		"endless": HugeBody(200, -1), "slow": SlowBody(200, time.Millisecond),
	} {
		r := New(t, Options{Answer: Always(reply)})
		ctx, cancel := context.WithCancel(t.Context())
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.URL(), nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client(t, nil).Do(req)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := io.CopyN(io.Discard, resp.Body, 20); err != nil {
			t.Errorf("%s: the first bytes: %v", name, err)
		}
		cancel() // the client goes, so the reply ends
		resp.Body.Close()
		r.AwaitEnded(t, 1)
	}
}

func TestHangingEndsWithTheClientOrTheReceiver(t *testing.T) {
	r := New(t, Options{Answer: Always(Hang(nil))})
	ctx, cancel := context.WithCancel(t.Context())
	c := client(t, nil)
	failed := make(chan error, 2)
	go func() { _, err := post(ctx, c, r.URL(), ""); failed <- err }()
	r.Await(t, 1)
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("the client that went got %v", err)
	}
	r.AwaitEnded(t, 1)
	go func() { _, err := post(t.Context(), c, r.URL(), ""); failed <- err }()
	r.Await(t, 2)
	r.Close()
	if err := <-failed; err == nil {
		t.Error("a request outlived the receiver")
	}
	r.AwaitEnded(t, 2)
	again := New(t, Options{Address: r.Addr()})
	if a, err := post(t.Context(), c, again.URL(), ""); err != nil || a.status != 200 {
		t.Errorf("one at the same address: %+v: %v", a, err)
	}
}

func TestClientsShowCertificates(t *testing.T) {
	authority := testcert.New(t)
	cert, _ := authority.Issue("receiver")
	own, _ := authority.Issue("herald")
	r := New(t, Options{TLS: &tls.Config{
		Certificates: []tls.Certificate{cert}, ClientCAs: authority.Pool(), ClientAuth: tls.RequireAndVerifyClientCert,
	}})
	c := client(t, &tls.Config{RootCAs: authority.Pool(), Certificates: []tls.Certificate{own}})
	if _, err := post(t.Context(), c, r.URL(), ""); err != nil {
		t.Fatal(err)
	}
	if got := r.Requests()[0].Client; got != "herald" {
		t.Errorf("the client is %q", got)
	}
}

func TestForgetCountsAlone(t *testing.T) {
	r := New(t, Options{Forget: true})
	if _, err := post(t.Context(), client(t, nil), r.URL(), ""); err != nil {
		t.Fatal(err)
	}
	r.AwaitEnded(t, 1)
	if r.Count() != 1 || len(r.Requests()) != 0 {
		t.Errorf("%d counted, %d kept", r.Count(), len(r.Requests()))
	}
}

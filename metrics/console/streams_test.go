package console

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

// listener reads server-sent events.
type listener struct {
	answer *http.Response
	lines  *bufio.Reader
}

// listen opens a stream that ends with the test.
func listen(t *testing.T, url string) *listener {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	a, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Body.Close() })
	return &listener{a, bufio.NewReader(a.Body)}
}

// next returns the next event of that name and its data; it fails at the end.
func (l *listener) next(t *testing.T, name string) string {
	t.Helper()
	event := ""
	for {
		line, err := l.lines.ReadString('\n')
		if err != nil {
			t.Fatalf("no event %s: %v", name, err)
		}
		if kind, found := strings.CutPrefix(line, "event: "); found {
			event = strings.TrimSpace(kind)
		}
		if data, found := strings.CutPrefix(line, "data: "); found && event == name {
			return data
		}
	}
}

func TestPageIsToldTheHistoryAndThenEverySample(t *testing.T) {
	th := newTheatre()
	th.run(t)
	l := listen(t, th.serve(t))
	if kind := l.answer.Header.Get("Content-Type"); kind != "text/event-stream" {
		t.Errorf("the stream is %s", kind)
	}
	th.stage.set(func(s *Status) { s.Source.Changes = 1e6 })
	var f Frame
	for f.Status.Source.Changes != 1e6 {
		data := l.next(t, "status")
		satisfies(t, "#/components/schemas/Frame", []byte(data))
		if err := json.Unmarshal([]byte(data), &f); err != nil {
			t.Fatal(err)
		}
	}
	data := listen(t, th.serve(t)).next(t, "history")
	var points []json.RawMessage
	if err := json.Unmarshal([]byte(data), &points); err != nil || len(points) == 0 {
		t.Fatalf("history is %s: %v", data, err)
	}
	for _, p := range points {
		satisfies(t, "#/components/schemas/Point", p)
	}
}

// The limits of the server are for answers; a stream goes on.
func TestStreamOutlivesTheLimitsOfTheServer(t *testing.T) {
	th := newTheatre()
	th.run(t)
	const short = 100 * time.Millisecond
	server := httptest.NewUnstartedServer(th.Handler())
	server.Config.ReadTimeout, server.Config.WriteTimeout = short, short
	server.Start()
	t.Cleanup(server.Close)
	l := listen(t, server.URL)
	var first, f Frame
	for f.Point.At.Sub(first.Point.At) < 5*short {
		if err := json.Unmarshal([]byte(l.next(t, "status")), &f); err != nil {
			t.Fatal(err)
		}
		if first.Point.At.IsZero() {
			first = f
		}
	}
}

func TestEndOfTheProcessEndsTheStreams(t *testing.T) {
	th := newTheatre()
	stop := th.run(t)
	url := th.serve(t)
	l := listen(t, url)
	l.next(t, "status")
	stop()
	l.next(t, "stopping")
	if rest, err := l.lines.ReadString(0); err == nil {
		t.Errorf("the stream goes on: %q", rest)
	}
	listen(t, url).next(t, "stopping") // one that comes too late ends at once
}

func TestStreamsAreBounded(t *testing.T) {
	th := newTheatre()
	th.run(t)
	url := th.serve(t)
	var open []*listener
	for range maxStreams {
		l := listen(t, url)
		l.next(t, "status")
		open = append(open, l)
	}
	if code, body := get(t, url+"/events"); code != http.StatusServiceUnavailable || !strings.Contains(body, "too many pages") {
		t.Errorf("one more: status %d, %s", code, body)
	}
	open[0].answer.Body.Close()
	deadline := time.Now().Add(limit)
	for th.streams.count() == maxStreams && time.Now().Before(deadline) {
		open[1].next(t, "status") // the server notices when it writes
	}
	listen(t, url).next(t, "status")
}

func (s *streams) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

func TestPageThatDoesNotReadIsCutOff(t *testing.T) {
	s := newStreams()
	slow, quick := s.add(), s.add()
	for i := range backlog + 1 {
		s.tell([]byte{byte(i)})
		if got := <-quick.messages; got[0] != byte(i) {
			t.Fatalf("message %d is %v", i, got)
		}
	}
	select {
	case <-slow.slow:
	default:
		t.Error("the slow one was not cut off")
	}
	if s.count() != 1 || !s.watched() {
		t.Errorf("%d streams are open", s.count())
	}
	s.remove(slow) // which its handler does in the end
	s.remove(quick)
	if s.watched() {
		t.Error("there are streams left")
	}
}

func TestMessageIsOneEvent(t *testing.T) {
	got := string(message("status", map[string]string{"reason": "a\nb\r\n\nevent: x"}))
	if strings.Count(got, "\n") != 3 || !strings.HasPrefix(got, "event: status\ndata: {") {
		t.Errorf("the message is %q", got)
	}
	if bad := string(message("status", func() {})); !strings.HasPrefix(bad, "event: failure\n") {
		t.Errorf("what cannot be encoded is %q", bad)
	}
}

func TestNobodyWatchingStillFillsTheHistory(t *testing.T) {
	th := newTheatre()
	th.sample()
	th.sample()
	if points, _, _ := th.history.told(); len(points) != 2 || !slices.IsSortedFunc(points, func(a, b Point) int { return a.At.Compare(b.At) }) {
		t.Errorf("points are %v", points)
	}
}

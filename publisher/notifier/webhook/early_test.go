package webhook

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/walherald/walherald/publisher/notifier"
)

// Memory of a payload is used again for others once its delivery has ended, and an
// endpoint that answers early reads the request on.
func TestEndpointThatAnswersEarlyReadsNothingOfWhatComesLater(t *testing.T) {
	ended, others := make(chan struct{}), make(chan int, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(w)
		if err := c.EnableFullDuplex(); err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Length", "2")
		_, _ = w.Write([]byte("ok"))
		if err := c.Flush(); err != nil {
			t.Error(err)
		}
		<-ended
		rest, _ := io.ReadAll(r.Body) // as far as it comes
		others <- bytes.Count(rest, []byte("y"))
	}))
	defer server.Close()
	d := delivery(t, 1)
	d.Payload = bytes.Repeat([]byte("x"), 16<<20) // more than connections hold
	another := bytes.Repeat([]byte("y"), len(d.Payload))
	if err := open(t, destination(server.URL), plain).Send(t.Context(), []notifier.Delivery{d}); err != nil {
		t.Fatal(err)
	}
	copy(d.Payload, another)
	close(ended)
	if n := <-others; n > 0 {
		t.Errorf("it read %d bytes of another payload", n)
	}
}

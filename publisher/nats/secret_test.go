package nats

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/walherald/walherald/internal/natsserver"
	"github.com/walherald/walherald/publisher"
)

// deliverOnce pings the address and returns everything logged and the error.
func deliverOnce(t *testing.T, url string) (logged string, err error) {
	t.Helper()
	var log bytes.Buffer
	p := New(Config{URLs: []string{url}, Topic: "cdc"}, Hooks{}, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	err = p.Deliver(t.Context(), nil)
	if closeErr := p.Close(); closeErr != nil {
		t.Error(closeErr)
	}
	return log.String(), err
}

func TestNoErrorAndNoLogRecordShowsASecret(t *testing.T) {
	address := natsserver.InProcess(t, func(o *server.Options) { o.Username, o.Password = "u", "richtig" }).Addr().String()
	for _, url := range []string{
		"nats://u:geheim@" + address, "u:x@geheim@" + address, "nats://geheim@" + address, "geheim@" + address,
		"nats://u:geheim%zz@" + address, "nats://u:geheim/x@" + address, "nats://geheim/x@" + address,
		"nats://u@geheim/x@" + address, "nats://geheim?x@" + address, "nats://geheim#x@" + address, "geheim/x@" + address,
		"nats://u:geh\x7feim@" + address,
	} {
		log, err := deliverOnce(t, url)
		if !publisher.IsPermanent(err) {
			t.Errorf("%s: %v is not permanent", url, err)
		} else if text := err.Error(); strings.Contains(text, "geh") || !strings.Contains(text, address) {
			t.Errorf("%s: the error shows %q", url, text)
		}
		if strings.Contains(log, "geh") {
			t.Errorf("%s: the log shows %s", url, log)
		}
	}
}

func TestOpenedSessionIsLoggedWithoutASecret(t *testing.T) {
	token := natsserver.InProcess(t, func(o *server.Options) { o.Authorization = "geheim" }).Addr().String()
	user := natsserver.InProcess(t, func(o *server.Options) { o.Username, o.Password = "u", "geheim" }).Addr().String()
	for url, address := range map[string]string{"nats://geheim@" + token: token, "nats://u:geheim@" + user: user} {
		log, err := deliverOnce(t, url)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(log, "geheim") || !strings.Contains(log, "server="+address) {
			t.Errorf("the log shows %s", log)
		}
	}
}

func TestCredentialsThatAreRefusedEndTheRetries(t *testing.T) {
	address := natsserver.InProcess(t, func(o *server.Options) { o.Username, o.Password = "u", "richtig" }).Addr().String()
	p := New(Config{URLs: []string{"nats://u:geheim@" + address}, Topic: "cdc"}, Hooks{}, slog.New(slog.DiscardHandler))
	err := publisher.Retry(p, 0, publisher.RetryHooks{}).Deliver(t.Context(), nil)
	if !publisher.IsPermanent(err) {
		t.Fatalf("got %v, want a permanent error", err)
	}
	if !strings.Contains(err.Error(), "Authorization Violation") || strings.Contains(err.Error(), "geheim") {
		t.Errorf("the error says %q", err)
	}
}

package webhook

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/notifier"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// secret is in every place of a destination that can hold one.
const secret = "hunter2"

// plain is the content of most envelopes.
var plain = publisher.Content{Type: "application/json"}

// destination is a valid one for what listens at base, with the secret in its URL and
// a header.
func destination(base string) config.Notification {
	scheme, host, _ := strings.Cut(base, "://")
	return config.Notification{Section: "notifier.destinations[0]", Destination: config.Destination{
		Name: "crm", Type: config.DestinationWebhook, Method: "POST", AllowPrivate: true, Timeout: 10 * time.Second,
		Concurrency: 8, Batch: 1,
		URL:     config.Secret(scheme + "://" + secret + ":" + secret + "@" + host + "/" + secret + "?token=" + secret),
		Headers: map[string]config.Secret{"X-Key": secret},
	}}
}

// open makes a sender that the test closes.
func open(t *testing.T, n config.Notification, content publisher.Content) *Sender {
	t.Helper()
	s, err := New(n, content)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// delivery is the change with this number.
func delivery(t *testing.T, n uint64) notifier.Delivery {
	t.Helper()
	id, err := publisher.NewID(0x16B3748, n, 7)
	if err != nil {
		t.Fatal(err)
	}
	return notifier.Delivery{
		ID: id, Rule: "paid", Topic: "orders", Table: "public.orders", Action: publisher.Insert, Key: []byte("1"),
		CommitTime: 1_700_000_000_000_000, Payload: fmt.Appendf(nil, `{"n":%d,"private":"row data"}`, n),
	}
}

// checkSilent fails the test if an error shows a secret or data of a row.
func checkSilent(t *testing.T, err error, secrets ...string) {
	t.Helper()
	for ; err != nil; err = errors.Unwrap(err) {
		for _, s := range append(secrets, secret, "row data") {
			if text := fmt.Sprintf("%v %+v %#v", err, err, err); strings.Contains(text, s) {
				t.Errorf("an error shows %q: %s", s, text)
			}
		}
	}
}

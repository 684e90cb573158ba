package httpsend

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/notifier"
)

func TestEveryStatusIsAcceptedOrMendableOrPermanent(t *testing.T) {
	type class int
	const (
		accepted class = iota
		mendable
		permanent
	)
	want := func(status int) class {
		switch {
		case status >= 200 && status <= 299:
			return accepted
		case status == 408, status == 429, status >= 500 && status <= 599:
			return mendable
		}
		return permanent
	}
	for status := 100; status <= 999; status++ {
		err := Answer{Status: status, Body: []byte("hunter2"), Header: http.Header{"Location": {"hunter2"}}}.Err()
		got := mendable
		switch {
		case err == nil:
			got = accepted
		case publisher.IsPermanent(err):
			got = permanent
		}
		if got != want(status) {
			t.Errorf("%d is of class %d, want %d: %v", status, got, want(status), err)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%d says what was answered: %v", status, err)
		}
	}
}

func TestRefusalsSayWhatToDo(t *testing.T) {
	for status, want := range map[int]string{
		503: "answers 503 Service Unavailable",
		599: "answers 599",
		400: "answers 400 Bad Request",
		307: "answers 307 Temporary Redirect: redirects are not followed; set the url to where it points",
		410: "answers 410 Gone: nobody listens there any more; set another url, or remove the destination",
	} {
		if err := (Answer{Status: status}).Err(); err == nil || err.Error() != want {
			t.Errorf("%d: %v, want %q", status, err, want)
		}
	}
}

func TestRetryAfterIsReadInBothForms(t *testing.T) {
	date := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	in := func(d time.Duration) string { return date.Add(d).Format(http.TimeFormat) }
	for text, want := range map[string]time.Duration{
		"":                                  0,
		"0":                                 0,
		"7":                                 7 * time.Second,
		" 120 ":                             2 * time.Minute,
		"3601":                              MaxRetryAfter,
		"99999999999999999999":              MaxRetryAfter,
		"9223372036854775807":               MaxRetryAfter,
		"-1":                                0,
		"1.5":                               0,
		"soon":                              0,
		in(90 * time.Second):                90 * time.Second,
		in(-time.Minute):                    0,
		in(48 * time.Hour):                  MaxRetryAfter,
		"Wednesday, 02-Jan-30 03:04:15 GMT": 10 * time.Second, // the obsolete forms of RFC 9110
		"Wed Jan  2 03:04:15 2030":          10 * time.Second,
	} {
		for _, status := range []int{408, 429, 500, 503} {
			a := Answer{Status: status, Header: http.Header{"Retry-After": {text}, "Date": {in(0)}}}
			if got := notifier.RetryAfter(a.Err()); got != want {
				t.Errorf("%d with Retry-After %q waits %v, want %v", status, text, got, want)
			}
		}
	}
	a := Answer{Status: 400, Header: http.Header{"Retry-After": {"7"}}}
	if got := notifier.RetryAfter(a.Err()); got != 0 {
		t.Errorf("a permanent error waits %v", got)
	}
}

func TestDatesWithoutADateOfTheAnswerCountFromNow(t *testing.T) {
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	a := Answer{Header: http.Header{"Retry-After": {now.Add(time.Minute).Format(http.TimeFormat)}}}
	if got := a.retryAfter(now); got != time.Minute {
		t.Errorf("it waits %v", got)
	}
}

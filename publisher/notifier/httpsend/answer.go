package httpsend

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/notifier"
)

// MaxRetryAfter is the longest that an answer can ask not to be called again.
const MaxRetryAfter = time.Hour

// Answer is what came back.
type Answer struct {
	Status int
	Header http.Header
	// Body is the beginning of the body, as much as came in time: [MaxBody] bytes at
	// most. A receiver can put into it what it was sent, so it is not to be shown.
	Body []byte
}

// Err returns nil if the request was accepted (2xx) and otherwise an error with the
// status and no word of the body, to be read after the name of who answered: "answers
// 503 Service Unavailable". For 408, 429 and 5xx it may be mended by another attempt,
// and [notifier.RetryAfter] returns for how long the answer asks not to be called
// (RFC 9110, section 10.2.3), at most [MaxRetryAfter]. Every other one satisfies
// [publisher.IsPermanent].
func (a Answer) Err() error {
	if a.Status/100 == 2 {
		return nil
	}
	err := fmt.Errorf("answers %s", strings.TrimSpace(strconv.Itoa(a.Status)+" "+http.StatusText(a.Status)))
	switch {
	case a.Status == http.StatusRequestTimeout, a.Status == http.StatusTooManyRequests, a.Status/100 == 5:
		if after := a.retryAfter(time.Now()); after > 0 {
			return notifier.Delayed(err, after)
		}
		return err
	case a.Status == http.StatusGone:
		err = fmt.Errorf("%w: nobody listens there any more; set another url, or remove the destination", err)
	case a.Status/100 == 3:
		err = fmt.Errorf("%w: redirects are not followed; set the url to where it points", err)
	}
	return publisher.Permanent(err)
}

// retryAfter returns what the header Retry-After asks for at a time, 0 if it is not
// there, in the past or neither seconds nor a date. A date counts from the answer's
// own: the clock there may be another.
func (a Answer) retryAfter(now time.Time) time.Duration {
	text := strings.TrimSpace(a.Header.Get("Retry-After"))
	if text == "" {
		return 0
	}
	if strings.Trim(text, "0123456789") == "" {
		seconds, err := strconv.ParseInt(text, 10, 64)
		if err != nil || seconds > int64(MaxRetryAfter/time.Second) {
			return MaxRetryAfter
		}
		return time.Duration(seconds) * time.Second
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	if date, err := http.ParseTime(a.Header.Get("Date")); err == nil {
		now = date
	}
	return min(max(at.Sub(now), 0), MaxRetryAfter)
}

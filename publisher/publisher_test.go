package publisher

import (
	"context"
	"errors"
	"fmt"
	"testing"
)

func TestPermanentHoldsThroughEveryWrapping(t *testing.T) {
	refused := errors.New("no such topic")
	permanent := Permanent(refused)
	for name, err := range map[string]error{
		"itself":  permanent,
		"wrapped": fmt.Errorf("deliver to shop: %w", fmt.Errorf("publish: %w", permanent)),
		"joined":  errors.Join(context.Canceled, permanent),
		"twice":   Permanent(fmt.Errorf("publish: %w", permanent)),
	} {
		if !IsPermanent(err) {
			t.Errorf("%s: %v is not permanent", name, err)
		}
		if !errors.Is(err, refused) {
			t.Errorf("%s: %v hides its cause", name, err)
		}
	}
	if permanent.Error() != refused.Error() {
		t.Errorf("it says %q, want %q", permanent, refused)
	}
}

func TestOtherErrorsAreNotPermanent(t *testing.T) {
	for _, err := range []error{nil, errors.New("connection reset"), context.Canceled, context.DeadlineExceeded} {
		if IsPermanent(err) {
			t.Errorf("%v is permanent", err)
		}
	}
	if err := Permanent(nil); err != nil {
		t.Errorf("Permanent(nil) is %v", err)
	}
}

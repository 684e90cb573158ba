package natsserver

import (
	"context"
	"errors"
	"testing"
)

func TestPollRemembersTheLastAnswerBeforeItWasCutOff(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	answers := []error{errors.New("not yet"), errors.New("almost")}
	tries := 0
	err := poll(ctx, func(ctx context.Context) error {
		if tries == len(answers) {
			cancel()
			return ctx.Err()
		}
		tries++
		return answers[tries-1]
	})
	if !errors.Is(err, answers[1]) || !errors.Is(err, context.Canceled) {
		t.Errorf("poll returned %v, want what was said last and that it was cancelled", err)
	}
}

func TestPollEndsWithTheFirstSuccess(t *testing.T) {
	tries := 0
	err := poll(t.Context(), func(context.Context) error {
		if tries++; tries < 3 {
			return errors.New("not yet")
		}
		return nil
	})
	if err != nil || tries != 3 {
		t.Errorf("poll returned %v after %d tries, want success after 3", err, tries)
	}
}

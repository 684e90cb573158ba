package file

import (
	"os/signal"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	signal.Ignore(syscall.SIGXFSZ) // a write above the limit then fails like one on a full disk
	goleak.VerifyTestMain(m)
}

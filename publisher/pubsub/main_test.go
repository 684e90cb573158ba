package pubsub

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	_ = os.Unsetenv(EmulatorVariable) // tests name their servers themselves
	goleak.VerifyTestMain(m)
}

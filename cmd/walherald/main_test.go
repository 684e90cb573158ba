package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/walherald/walherald/internal/pgserver"
)

// patience bounds every wait. It is long, because nothing is wrong with a
// machine that is slow.
const patience = time.Minute

func TestMain(m *testing.M) { goleak.VerifyTestMain(withBinary{pgserver.WithShared(m)}) }

// binary is the path of the command, built as it is released; with the race
// detector if the tests have it.
var binary string

// withBinary builds the command, runs the tests and removes it.
type withBinary struct{ tests pgserver.M }

// Run implements pgserver.M.
func (w withBinary) Run() int {
	dir, err := os.MkdirTemp("", "walherald-test-")
	if err != nil {
		fmt.Println("make folder for the binary:", err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	binary = filepath.Join(dir, "walherald")
	args := []string{"build", "-buildvcs=false", "-o", binary}
	if raceEnabled {
		args = append(args, "-race")
	}
	if out, err := exec.Command("go", append(args, ".")...).CombinedOutput(); err != nil {
		fmt.Printf("build the binary: %v\n%s", err, out)
		return 1
	}
	return w.tests.Run()
}

// bounded returns a context that ends after a while, and with the test.
func bounded(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// eventually asks done again and again until it says so. An error of the last
// attempt is shown when time is up.
func eventually(t *testing.T, what string, done func(ctx context.Context) (bool, error)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := done(ctx)
		if ok && err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waited in vain: %s (last answer: %v, %v)", what, ok, err)
		}
	}
}

// dice returns random numbers whose seed is in the test's log.
func dice(t *testing.T) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// pause lets up to limit of time pass, a different part of it each time, so
// that what comes next comes at any moment of what goes on meanwhile.
func pause(ctx context.Context, rng *rand.Rand, limit time.Duration) {
	timer := time.NewTimer(time.Duration(rng.Int64N(int64(limit))))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

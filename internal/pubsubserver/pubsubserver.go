// Package pubsubserver starts private Google Pub/Sub servers for tests and
// benchmarks, on 127.0.0.1 and free ports.
//
// [Fake] is the server that comes with Pub/Sub's Go module (package pstest), in
// the test's own process: always there, quick, and able to fail on demand. What
// it holds outlives [Fake.Kill], and it refuses what the service refuses, which
// pstest by itself does not.
//
// [Emulator] is Google's emulator, a process of its own, where it is installed
// ([Find]). It keeps nothing on disk: topics, subscriptions and messages are
// gone once it is killed.
//
// No registry has the emulator, so tests use the fake always and the emulator
// where it is. Both say in their String method which server it is, to be logged.
package pubsubserver

import (
	"os"
	"os/exec"
	"path/filepath"
)

// EmulatorVariable is the environment variable that says where the emulator's
// start script is.
const EmulatorVariable = "WALHERALD_PUBSUB_EMULATOR"

const (
	host   = "127.0.0.1"
	script = "cloud-pubsub-emulator"
	// below is where the script is in an installation of Google's SDK.
	below = "google-cloud-sdk/platform/pubsub-emulator/bin/" + script
)

// Find returns the path of the emulator's start script: the one the environment
// variable [EmulatorVariable] names, else one on the PATH or in a usual folder;
// empty if there is none.
func Find() string {
	if path := os.Getenv(EmulatorVariable); path != "" {
		return path
	}
	if path, err := exec.LookPath(script); err == nil {
		return path
	}
	home, _ := os.UserHomeDir()
	for _, dir := range []string{"/usr/lib", "/usr/local", "/usr/share", "/opt", home} {
		if path := filepath.Join(dir, below); isFile(path) {
			return path
		}
	}
	return ""
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

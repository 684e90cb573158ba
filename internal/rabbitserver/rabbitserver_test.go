package rabbitserver

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// channel opens a channel on a connection of its own, to be closed before the
// node ends.
func channel(t *testing.T, s *Server) (*amqp.Channel, func()) {
	t.Helper()
	conn, err := amqp.Dial(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	ch, err := conn.Channel()
	if err != nil {
		_ = conn.Close()
		t.Fatal(err)
	}
	return ch, func() { _ = conn.Close() }
}

// publish publishes persistently to a durable queue and waits for the confirm.
func publish(t *testing.T, s *Server, body string) {
	t.Helper()
	ch, closeConn := channel(t, s)
	defer closeConn()
	if _, err := ch.QueueDeclare("q", true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	if err := ch.Confirm(false); err != nil {
		t.Fatal(err)
	}
	confirm, err := ch.PublishWithDeferredConfirm("", "q", true, false, amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte(body)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	if ok, err := confirm.WaitContext(ctx); !ok {
		t.Fatalf("confirm: %v, %v", ok, err)
	}
}

func get(t *testing.T, s *Server) string {
	t.Helper()
	ch, closeConn := channel(t, s)
	defer closeConn()
	m, _, err := ch.Get("q", true)
	if err != nil {
		t.Fatal(err)
	}
	return string(m.Body)
}

func TestKilledNodeComesBackWithWhatItConfirmed(t *testing.T) {
	s := ForTest(t, Options{})
	url, pid := s.URL(), s.Pid()
	publish(t, s, "kept")
	// The node writes down that there is a queue later than it confirms messages.
	if _, err := s.Control(t.Context(), "eval", "mnesia:sync_log()."); err != nil {
		t.Fatal(err)
	}
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := s.knock(s.ports.amqp); err == nil {
		t.Error("killed node takes connections")
	}
	if state := s.State(); state == nil || state.Success() {
		t.Errorf("state after kill: %v", state)
	}
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.URL() != url || s.Pid() == pid {
		t.Errorf("restarted at %s as process %d, was %s and %d", s.URL(), s.Pid(), url, pid)
	}
	if got := get(t, s); got != "kept" {
		t.Errorf("queue holds %q", got)
	}
}

func TestControlReachesThisNode(t *testing.T) {
	s := ForTest(t, Options{MaxMessageSize: 100})
	out, err := s.Control(t.Context(), "eval", "node().")
	if err != nil || !strings.Contains(out, s.name) {
		t.Errorf("%q, %v", out, err)
	}
	if _, err := s.Control(t.Context(), "no_such_command"); err == nil || !strings.Contains(err.Error(), "no_such_command") {
		t.Errorf("unknown command: %v", err)
	}
	for _, on := range []bool{true, false} {
		if err := s.Block(t.Context(), on); err != nil {
			t.Fatal(err)
		}
		out, err := s.Control(t.Context(), "eval", "rabbit_alarm:get_alarms().")
		if err != nil || strings.Contains(out, "memory") != on {
			t.Errorf("alarms are %q with Block(%v): %v", out, on, err)
		}
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	s, err := Start(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	pids := []int{s.Pid(), s.names.Pid()}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(s.Path("")); !os.IsNotExist(err) {
		t.Errorf("folder is left: %v", err)
	}
	for _, pid := range pids {
		if _, err := os.Stat(fmt.Sprintf("/proc/%d", pid)); !os.IsNotExist(err) {
			t.Errorf("process %d is left", pid)
		}
	}
	for _, port := range []int{s.ports.amqp, s.ports.epmd, s.ports.distribution} {
		if s.knock(port) == nil {
			t.Errorf("port %d takes connections", port)
		}
	}
}

func TestStopEndsInOrder(t *testing.T) {
	s := ForTest(t, Options{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	if state := s.State(); !state.Success() {
		t.Errorf("node ended with %v", state)
	}
}

func TestMissingProgramSaysHowToGetIt(t *testing.T) {
	t.Setenv("WALHERALD_RABBITMQ_BIN", t.TempDir())
	if _, err := Start(t.Context(), Options{}); err == nil || !strings.Contains(err.Error(), "scripts/deps.sh rabbitmq") {
		t.Errorf("got %v", err)
	}
}

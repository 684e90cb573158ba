package listener

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/walherald/walherald/publisher"
)

// guaranteeMessage is a message that outlives its batch.
type guaranteeMessage struct {
	ID                   publisher.ID
	Writer, Topic, Table string
	Key, Body            string
}

// guaranteeSink is a Deliverer that remembers what it was offered and what it
// accepted, in order, and that waits or fails on command.
type guaranteeSink struct {
	// inspect, if set, sees each batch before anything is decided about it.
	inspect func(batch []publisher.Message)
	// forget leaves out what the messages hold, for those who only count them.
	forget bool

	mu       sync.Mutex
	offered  []guaranteeMessage
	accepted []guaranteeMessage
	refused  int           // how many deliveries have failed
	failures []error       // of the next deliveries
	holdAt   int           // deliveries wait once so many messages were accepted; 0 means never
	gate     chan struct{} // deliveries wait until it is closed
	changed  chan struct{} // closed, and made anew, when anything above changes
}

func newGuaranteeSink() *guaranteeSink {
	s := &guaranteeSink{gate: make(chan struct{}), changed: make(chan struct{})}
	close(s.gate)
	return s
}

// Deliver implements publisher.Deliverer.
func (s *guaranteeSink) Deliver(ctx context.Context, batch []publisher.Message) error {
	if len(batch) == 0 {
		return ctx.Err()
	}
	if s.inspect != nil {
		s.inspect(batch)
	}
	copied := s.copy(batch)
	select {
	case <-s.offer(copied):
	case <-ctx.Done():
		return ctx.Err()
	}
	return s.decide(copied)
}

// Close implements publisher.Deliverer.
func (s *guaranteeSink) Close() error { return nil }

func (s *guaranteeSink) copy(batch []publisher.Message) []guaranteeMessage {
	copied := make([]guaranteeMessage, len(batch))
	for i, m := range batch {
		copied[i] = guaranteeMessage{ID: m.ID, Writer: m.Writer, Topic: m.Topic, Table: m.Table}
		if !s.forget {
			copied[i].Key, copied[i].Body = string(m.Key), string(m.Body)
		}
	}
	return copied
}

// offer notes an attempt and returns what it has to wait for.
func (s *guaranteeSink) offer(batch []guaranteeMessage) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.offered = append(s.offered, batch...)
	s.tell()
	return s.gate
}

// decide accepts the batch or fails.
func (s *guaranteeSink) decide(batch []guaranteeMessage) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.tell()
	if len(s.failures) > 0 {
		err := s.failures[0]
		s.failures = s.failures[1:]
		s.refused++
		return err
	}
	s.accepted = append(s.accepted, batch...)
	if s.holdAt > 0 && len(s.accepted) >= s.holdAt {
		s.holdAt, s.gate = 0, make(chan struct{})
	}
	return nil
}

// tell wakes those who wait for a change; mu is held.
func (s *guaranteeSink) tell() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// hold makes deliveries wait once n messages in all were accepted; with n = 0
// from now on.
func (s *guaranteeSink) hold(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.holdAt = n; n == 0 {
		s.gate = make(chan struct{})
	}
}

// release lets deliveries go on.
func (s *guaranteeSink) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.gate)
}

// fail makes the next deliveries fail with these errors.
func (s *guaranteeSink) fail(errs ...error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures = errs
}

// await waits until cond holds, which sees the sink as it stands.
func (s *guaranteeSink) await(ctx context.Context, t testing.TB, what string, cond func() bool) {
	t.Helper()
	for {
		s.mu.Lock()
		ok, changed := cond(), s.changed
		offered, accepted := len(s.offered), len(s.accepted)
		s.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("%s: never happened; the sink was offered %d messages and accepted %d", what, offered, accepted)
		}
	}
}

// awaitAccepted waits for n messages in all and returns them.
func (s *guaranteeSink) awaitAccepted(ctx context.Context, t testing.TB, n int) []guaranteeMessage {
	t.Helper()
	s.await(ctx, t, fmt.Sprintf("%d messages accepted", n), func() bool { return len(s.accepted) >= n })
	return s.messages()
}

// awaitOffered waits until n messages in all were offered and returns them.
func (s *guaranteeSink) awaitOffered(ctx context.Context, t testing.TB, n int) []guaranteeMessage {
	t.Helper()
	s.await(ctx, t, fmt.Sprintf("%d messages offered", n), func() bool { return len(s.offered) >= n })
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.offered)
}

// messages returns what was accepted so far.
func (s *guaranteeSink) messages() []guaranteeMessage {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.accepted)
}

// guaranteeEvent is a body of the default envelope.
type guaranteeEvent struct {
	ID, Schema, Table, Action string
	Data, DataOld             map[string]any
	Seq                       uint64
}

// guaranteeParse reads a message's body, which has to be of its event.
func guaranteeParse(t testing.TB, m guaranteeMessage) guaranteeEvent {
	t.Helper()
	var e guaranteeEvent
	d := json.NewDecoder(strings.NewReader(m.Body))
	d.UseNumber()
	if err := d.Decode(&e); err != nil {
		t.Fatalf("body of %s is no JSON: %v\n%s", m.ID, err, m.Body)
	}
	if e.ID != m.ID.String() || e.Schema+"."+e.Table != m.Table || e.Seq != m.ID.Ordinal() {
		t.Fatalf("body does not belong to message %s of %s:\n%s", m.ID, m.Table, m.Body)
	}
	return e
}

// String shows the change alone, in one line: "INSERT public.t map[a:1] map[]".
func (e guaranteeEvent) String() string {
	return fmt.Sprintf("%s %s.%s %v %v", e.Action, e.Schema, e.Table, e.Data, e.DataOld)
}

// guaranteeLines returns the changes of messages, each as one line.
func guaranteeLines(t testing.TB, messages []guaranteeMessage) []string {
	t.Helper()
	lines := make([]string, len(messages))
	for i, m := range messages {
		lines[i] = guaranteeParse(t, m).String()
	}
	return lines
}

// guaranteeSame compares lists of lines and shows where they part.
func guaranteeSame(t testing.TB, got, want []string) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			t.Fatalf("%d lines, want %d; missing: %s", len(got), len(want), want[i])
		case i >= len(want):
			t.Fatalf("%d lines, want %d; too much: %s", len(got), len(want), got[i])
		case got[i] != want[i]:
			t.Fatalf("line %d is\n%s\nwant\n%s", i, got[i], want[i])
		}
	}
}

// guaranteeOrdered wants each message once and in commit order.
func guaranteeOrdered(t testing.TB, messages []guaranteeMessage) {
	t.Helper()
	for i := 1; i < len(messages); i++ {
		if messages[i-1].ID.Compare(messages[i].ID) >= 0 {
			t.Fatalf("message %d (%s) does not come after the one before (%s)", i, messages[i].ID, messages[i-1].ID)
		}
	}
}

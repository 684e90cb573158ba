package console

import "time"

// began is when what the tests tell began.
var began = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func ptr[T any](v T) *T { return &v }

// working is the status of a walherald that works.
func working() Status {
	return Status{
		Version: "1.2.3", Started: time.Now().Add(-3 * time.Hour).UTC(), State: "ready", LogLevel: "info",
		Source: Source{
			State:   State{Ready: true, Since: began, Seconds: 10800},
			Address: "db.internal:5432", Database: "shop", Slot: "walherald", Publication: "walherald_pub",
			ServerLSN: "0/16B3800", ReceivedLSN: "0/16B37F0", ConfirmedLSN: "0/16B3748", FlushedLSN: "0/16B3748",
			LagBytes: 184, LagSeconds: 0.2,
			RetainedBytes: ptr(16.0 * (1 << 20)), SafeBytes: ptr(1008.0 * (1 << 20)), SlotStatus: "reserved", SlotSeconds: 2,
			Transactions: 88211, Changes: 412904, Filtered: 1204, Reconnects: 1,
			WindowBytes: 2 << 20, WindowLimitBytes: 64 << 20,
		},
		Outputs: []Output{streamOutput(), hookOutput()},
		Rules: []Rule{{
			Name: "low stock", Match: "public.products update where new.stock < 5",
			Destinations: []RuleCount{{Destination: "hook", Matched: 31, Delivered: 28, Parked: 2, Other: 1}},
		}},
		Events: []Event{{
			ID: "a1", LSN: "0/16B3748", Table: "public.orders", Action: "insert", Committed: time.Now().UTC(),
			Path: []Hop{
				{Output: "stream", Topic: "STREAM.public_orders", Confirmed: true, Seconds: 0.0042},
				{Output: "hook"},
			},
		}, {
			ID: "a0", LSN: "0/16B3700", Table: "public.sessions", Action: "delete", Committed: time.Now().UTC(),
		}},
	}
}

func streamOutput() Output {
	return Output{
		State: State{Ready: true, Since: began, Seconds: 10800},
		Name:  "stream", Kind: "publisher", Type: "nats", Mode: "fast-ingest",
		LastError: "connect: connection refused", LastErrorAt: ptr(began),
		ConfirmedLSN: "0/16B3748", LagBytes: 168, WaitingEvents: 3, WaitingBytes: 912, LimitBytes: 64 << 20,
		Oldest:    &Oldest{LSN: "0/16B3760", Table: "public.orders", Seconds: 0.2, Why: "it is in the batch that is being delivered"},
		Published: 411700, Batches: 5210, Failures: 2, HeldUp: 3.5,
		Latency: Latency{Bounds: []float64{0.001, 0.01, 0.1}, Counts: []uint64{10, 90, 100}, Count: 100},
	}
}

func hookOutput() Output {
	return Output{
		State: State{Ready: true, Since: began, Seconds: 10800},
		Name:  "hook", Kind: "destination", Type: "webhook",
		ConfirmedLSN: "0/16B3748", LimitBytes: 16 << 20, Published: 28, Batches: 28,
		Parked: 3, ParkedSeconds: 5400,
		Latency: Latency{Bounds: []float64{0.001, 0.01, 0.1}, Counts: []uint64{0, 3, 28}, Count: 28},
	}
}

// parkedOnes are three, of two destinations.
func parkedOnes() []Parked {
	one := Parked{
		ID: "p1", Destination: "hook", Rule: "low stock", Table: "public.products", Action: "update", LSN: "0/16A0000",
		Committed: began, ParkedAt: began, Next: ptr(began.Add(time.Hour)), Attempts: 3,
		Reason: "the destination answered 503 Service Unavailable", Bytes: 412,
	}
	two, three := one, one
	two.ID, two.Next = "p2", nil
	three.ID, three.Destination = "p3", "team"
	return []Parked{one, two, three}
}

// blockedBy is the status of one whose output is blocked.
func blockedBy(reason string) func(*Status) {
	return func(s *Status) {
		s.State = "blocked"
		s.Source.LagSeconds, s.Source.LagBytes = 190, 48<<20
		o := &s.Outputs[0]
		o.State = State{Reason: reason, LSN: "0/16B3748", Since: began, Seconds: 190}
		o.WaitingEvents, o.WaitingBytes = 51200, 48<<20
		o.Oldest = &Oldest{LSN: "0/16B3748", Table: "public.orders", Seconds: 190, Why: reason}
	}
}

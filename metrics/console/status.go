package console

import "time"

// Status is all that the page shows and /status answers. It holds no row data and no
// secrets. Positions are in PostgreSQL's own form, such as 0/16B3748, and empty where
// they are not known; times are in UTC.
type Status struct {
	// Version of the program, and when the process started.
	Version string    `json:"version"`
	Started time.Time `json:"started"`
	// At is when this was true.
	At time.Time `json:"at"`
	// State is what /ready says: "ready", "standby", "blocked" or "stopping".
	State string `json:"state"`
	// LogLevel is debug, info, warn or error.
	LogLevel string `json:"logLevel"`

	Source  Source   `json:"source"`
	Outputs []Output `json:"outputs"`
	Rules   []Rule   `json:"rules"`
	// Events are the last ones that were read, newest first. Of a flood they are a
	// sample.
	Events []Event `json:"events"`
}

// State is how one part does.
type State struct {
	Ready bool `json:"ready"`
	// Reason says what blocks it; empty if it is ready.
	Reason string `json:"reason,omitempty"`
	// Note is worth knowing although it blocks nothing.
	Note string `json:"note,omitempty"`
	// LSN is where it waits.
	LSN string `json:"lsn,omitempty"`
	// Since is when it became ready or ceased to be, Seconds how long ago that is.
	Since   time.Time `json:"since"`
	Seconds float64   `json:"seconds"`
}

// Source is PostgreSQL, as the replication connection and the slot show it.
type Source struct {
	State
	// Address is host:port, Database the database's name.
	Address  string `json:"address"`
	Database string `json:"database"`
	Slot     string `json:"slot"`
	// Publication that is configured; empty means the default.
	Publication string `json:"publication"`

	// ServerLSN is the end of the server's log as last told, ReceivedLSN the end of
	// the last commit that was read, ConfirmedLSN the lowest position that all outputs
	// have confirmed, FlushedLSN the one that the server was told.
	ServerLSN    string `json:"serverLSN"`
	ReceivedLSN  string `json:"receivedLSN"`
	ConfirmedLSN string `json:"confirmedLSN"`
	FlushedLSN   string `json:"flushedLSN"`
	// LagBytes is the log from FlushedLSN to ServerLSN; LagSeconds the age of the
	// oldest commit that an output has not confirmed, or for how long the log could not
	// be read; 0 if there is no such thing.
	LagBytes   float64 `json:"lagBytes"`
	LagSeconds float64 `json:"lagSeconds"`
	// RetainedBytes is the log that the server keeps because of the slot, SafeBytes how
	// much more it would keep (max_slot_wal_keep_size), nil without a bound. SlotStatus
	// is wal_status of pg_replication_slots. They are as old as SlotSeconds; nil and
	// empty before they are known.
	RetainedBytes *float64 `json:"retainedBytes"`
	SafeBytes     *float64 `json:"safeBytes"`
	SlotStatus    string   `json:"slotStatus"`
	SlotSeconds   float64  `json:"slotSeconds"`

	// Totals since the process started.
	Transactions float64 `json:"transactions"`
	Changes      float64 `json:"changes"`
	Filtered     float64 `json:"filtered"`
	Reconnects   float64 `json:"reconnects"`

	WindowBytes      float64 `json:"windowBytes"`
	WindowLimitBytes float64 `json:"windowLimitBytes"`
}

// Output is a broker or a destination of notifications.
type Output struct {
	State
	Name string `json:"name"`
	// Kind is "publisher" or "destination", Type as in the configuration.
	Kind string `json:"kind"`
	Type string `json:"type"`
	// Mode is the path in use, such as fast-ingest; empty if there is only one.
	Mode string `json:"mode,omitempty"`

	// LastError is the last one of the process, and LastErrorAt when it happened.
	LastError   string     `json:"lastError,omitempty"`
	LastErrorAt *time.Time `json:"lastErrorAt,omitempty"`

	// ConfirmedLSN is the end of the last commit that it has confirmed; LagBytes what
	// has been read behind that.
	ConfirmedLSN string  `json:"confirmedLSN"`
	LagBytes     float64 `json:"lagBytes"`
	// Waiting is what its window holds.
	WaitingEvents float64 `json:"waitingEvents"`
	WaitingBytes  float64 `json:"waitingBytes"`
	LimitBytes    float64 `json:"limitBytes"`
	// Oldest is the oldest change that it has not confirmed; nil if there is none.
	Oldest *Oldest `json:"oldest"`

	// Totals since the process started. Published counts messages of batches that were
	// confirmed, Failures attempts at a batch that failed.
	Published float64 `json:"published"`
	Batches   float64 `json:"batches"`
	Failures  float64 `json:"failures"`
	HeldUp    float64 `json:"heldUpSeconds"`
	// Latency is the time from commit to confirmation, of the oldest change of each
	// batch.
	Latency Latency `json:"-"`

	// Of destinations only: whether nothing is sent because it is taken for down, and
	// what is parked.
	CircuitOpen bool    `json:"circuitOpen,omitempty"`
	Parked      float64 `json:"parked,omitempty"`
	// ParkedSeconds is the age of the oldest one.
	ParkedSeconds float64 `json:"parkedSeconds,omitempty"`
}

// Oldest is the oldest change that an output has not confirmed.
type Oldest struct {
	LSN   string `json:"lsn"`
	Table string `json:"table"`
	// Seconds is how long ago it was committed, by the database's clock.
	Seconds float64 `json:"seconds"`
	// Why says what it waits for.
	Why string `json:"why"`
}

// Latency is a histogram: Counts[i] is how many observations there have been of at
// most Bounds[i] seconds; Count counts all.
type Latency struct {
	Bounds []float64
	Counts []uint64
	Count  uint64
}

// Rule is a rule of the notifier.
type Rule struct {
	Name string `json:"name"`
	// Match is what it asks for, in one line for people.
	Match string `json:"match"`
	// Destinations is what became of its notifications at each destination.
	Destinations []RuleCount `json:"destinations"`
}

// RuleCount counts since the process started.
type RuleCount struct {
	Destination string  `json:"destination"`
	Matched     float64 `json:"matched"`
	Delivered   float64 `json:"delivered"`
	Parked      float64 `json:"parked"`
	// Parked counts those that were given up in line, delivered since or not; Other
	// those that were dropped or coalesced.
	Other float64 `json:"other"`
}

// Event is one event and its way.
type Event struct {
	ID     string `json:"id"`
	LSN    string `json:"lsn"`
	Table  string `json:"table"`
	Action string `json:"action"`
	// Committed is by the database's clock.
	Committed time.Time `json:"committed"`
	// Path is empty if no output wanted it.
	Path []Hop `json:"path"`
}

// Hop is what became of an event at one output.
type Hop struct {
	Output string `json:"output"`
	Topic  string `json:"topic,omitempty"`
	// Confirmed is whether the output has it; Seconds how long that took from the
	// commit, 0 before.
	Confirmed bool    `json:"confirmed"`
	Seconds   float64 `json:"seconds"`
}

// Parked is a notification that could not be delivered, without its payload.
type Parked struct {
	ID          string    `json:"id"`
	Destination string    `json:"destination"`
	Rule        string    `json:"rule"`
	Table       string    `json:"table"`
	Action      string    `json:"action"`
	LSN         string    `json:"lsn"`
	Committed   time.Time `json:"committed"`
	ParkedAt    time.Time `json:"parkedAt"`
	// Next is when it is tried again; nil if that is left to somebody.
	Next     *time.Time `json:"next"`
	Attempts int        `json:"attempts"`
	Reason   string     `json:"reason"`
	// Bytes is the size of the payload.
	Bytes int `json:"bytes"`
}

// ParkedFilter selects parked notifications: those with one of IDs, of Destination;
// what is empty selects all.
type ParkedFilter struct {
	Destination string   `json:"destination"`
	IDs         []string `json:"ids"`
}

// ParkedResult is what became of them.
type ParkedResult struct {
	// Done counts those that were delivered or dropped, Failed those that were not;
	// Error is the last reason.
	Done   int    `json:"done"`
	Failed int    `json:"failed"`
	Error  string `json:"error,omitempty"`
}

// listed has an empty list wherever there is none, so that JSON has no null there.
func (s Status) listed() Status {
	fill(&s.Outputs)
	fill(&s.Rules)
	fill(&s.Events)
	for i := range s.Rules {
		fill(&s.Rules[i].Destinations)
	}
	for i := range s.Events {
		fill(&s.Events[i].Path)
	}
	return s
}

func fill[T any](list *[]T) {
	if *list == nil {
		*list = []T{}
	}
}

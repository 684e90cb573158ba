package config

// Severity says how bad a Finding is.
type Severity int

// The severities.
const (
	FindingOK Severity = iota
	FindingWarning
	FindingError
)

// String returns "ok", "warning" or "error".
func (s Severity) String() string { return [...]string{"ok", "warning", "error"}[s] }

// Finding is one result of the preflight.
type Finding struct {
	Severity Severity
	// Path is the configuration path it is about, such as "listener.slotName".
	Path string
	// What was found, in one sentence.
	What string
	// Remedy says what to do; empty if nothing is to be done.
	Remedy string
}

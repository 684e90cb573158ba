package config

import "fmt"

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

// Findings collects findings in the order in which they are made. Not for
// concurrent use.
type Findings []Finding

// OK adds what is as it should be.
func (f *Findings) OK(path, format string, args ...any) {
	f.Add(FindingOK, path, "", format, args...)
}

// Warn adds what may be meant and may be a mistake.
func (f *Findings) Warn(path, remedy, format string, args ...any) {
	f.Add(FindingWarning, path, remedy, format, args...)
}

// Fail adds what would keep walherald from running.
func (f *Findings) Fail(path, remedy, format string, args ...any) {
	f.Add(FindingError, path, remedy, format, args...)
}

// Add adds a finding of any severity; format and args make its What.
func (f *Findings) Add(s Severity, path, remedy, format string, args ...any) {
	*f = append(*f, Finding{Severity: s, Path: path, What: fmt.Sprintf(format, args...), Remedy: remedy})
}

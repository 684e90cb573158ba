package metrics

import (
	"fmt"
	"io"
	"log/slog"
)

// NewLogger returns a logger that writes to w the records of level and above,
// as [ParseLevel] and [NewHandler] describe.
func NewLogger(w io.Writer, level, format string) (*slog.Logger, error) {
	least, err := ParseLevel(level)
	if err != nil {
		return nil, err
	}
	handler, err := NewHandler(w, least, format)
	if err != nil {
		return nil, err
	}
	return slog.New(handler), nil
}

// ParseLevel reads the value of logger.level: debug, info, warn or error.
func ParseLevel(level string) (slog.Level, error) {
	switch level {
	case "debug":
		return slog.LevelDebug, nil
	case "info":
		return slog.LevelInfo, nil
	case "warn":
		return slog.LevelWarn, nil
	case "error":
		return slog.LevelError, nil
	default:
		return 0, fmt.Errorf("read logger.level: %q is not debug, info, warn or error", level)
	}
}

// NewHandler returns a handler that writes one line per record to w: JSON for
// machines (format "json") or key=value for people (format "text"). With a
// [slog.LevelVar] as level, the level can be changed at run time. w needs no
// lock of its own.
func NewHandler(w io.Writer, level slog.Leveler, format string) (slog.Handler, error) {
	options := &slog.HandlerOptions{Level: level}
	switch format {
	case "json":
		return slog.NewJSONHandler(w, options), nil
	case "text":
		return slog.NewTextHandler(w, options), nil
	default:
		return nil, fmt.Errorf("read logger.fmt: %q is not json or text", format)
	}
}

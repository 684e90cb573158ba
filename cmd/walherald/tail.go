package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/internal/service"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/format"
)

// tailCommand prints what consumers of an output receive.
func tailCommand(path *string) *cobra.Command {
	var name, from string
	var asJSON bool
	tail := &cobra.Command{
		Use:   "tail",
		Short: "Print events from a configured broker as they arrive",
		Long: "Print events from a configured broker as they arrive.\n\n" +
			"It reads what a consumer would receive and takes nothing away from others. Each\n" +
			"event is one line: when the broker took it, its topic, its key and its body,\n" +
			"decompressed. It ends with SIGINT or SIGTERM, and with 1 if it cannot read.",
		Example: `  walherald tail -c config.yml
  walherald tail --publisher audit --from start
  walherald tail --json | jq .body`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			start, err := startFrom(from)
			if err != nil {
				return err
			}
			cfg, err := config.Load(*path)
			if err != nil {
				return &runError{err: err}
			}
			o := service.TailOptions{Output: name, From: start, Log: slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))}
			return failed(tail(cmd.Context(), cfg, o, cmd.OutOrStdout(), asJSON))
		},
	}
	tail.Flags().StringVar(&name, "publisher", "", "the output's name, where there are several")
	tail.Flags().StringVar(&from, "from", "now", "start (everything the broker still holds) or now")
	tail.Flags().BoolVar(&asJSON, "json", false, "one JSON object a line, for scripts")
	return tail
}

func startFrom(text string) (publisher.Start, error) {
	switch text {
	case "now":
		return publisher.StartNow, nil
	case "start":
		return publisher.StartOldest, nil
	}
	return 0, fmt.Errorf("--from: %q is neither start nor now", text)
}

// tail prints until ctx ends. That nobody reads any more, as behind head, is no
// error.
func tail(ctx context.Context, cfg *config.Config, o service.TailOptions, w io.Writer, asJSON bool) error {
	out := bufio.NewWriter(w)
	write := printEvent
	if asJSON {
		write = printEventJSON
	}
	err := service.Tail(ctx, cfg, o, func(r publisher.Received) error {
		body, err := format.Decompress(r.Encoding, r.Body)
		if err != nil {
			return fmt.Errorf("read event from %s: %w", r.Topic, err)
		}
		r.Body = body
		if err := write(out, &r); err != nil {
			return err
		}
		return out.Flush() // each when it arrives
	})
	if errors.Is(err, syscall.EPIPE) {
		return nil
	}
	return err
}

// printEvent writes an event as a line for people.
func printEvent(w *bufio.Writer, r *publisher.Received) error {
	if !r.Stored.IsZero() {
		fmt.Fprint(w, r.Stored.UTC().Format(time.RFC3339Nano), " ")
	}
	fmt.Fprint(w, r.Topic, " ")
	if len(r.Key) > 0 {
		fmt.Fprintf(w, "key=%s ", onOneLine(r.Key))
	}
	_, err := fmt.Fprintln(w, string(onOneLine(r.Body)))
	return err
}

// onOneLine makes text that would break out of its line, or is none, a Go string.
// In JSON a line feed is white space.
func onOneLine(text []byte) []byte {
	if json.Valid(text) {
		text = bytes.Map(func(r rune) rune {
			if r == '\n' || r == '\r' {
				return ' '
			}
			return r
		}, text)
	}
	if !utf8.Valid(text) || bytes.ContainsFunc(text, unicode.IsControl) {
		return strconv.AppendQuote(nil, string(text))
	}
	return text
}

// received is an event for scripts.
type received struct {
	Topic      string            `json:"topic"`
	Key        string            `json:"key,omitempty"`
	Stored     string            `json:"stored,omitempty"`
	Attributes map[string]string `json:"attributes,omitempty"`
	// Body is the body itself if it is JSON, else a string.
	Body json.RawMessage `json:"body"`
}

func printEventJSON(w *bufio.Writer, r *publisher.Received) error {
	e := received{Topic: r.Topic, Key: string(r.Key), Body: r.Body}
	if !r.Stored.IsZero() {
		e.Stored = r.Stored.UTC().Format(time.RFC3339Nano)
	}
	for _, a := range r.Attributes {
		if e.Attributes == nil {
			e.Attributes = make(map[string]string)
		}
		e.Attributes[a.Name] = a.Value
	}
	if !json.Valid(r.Body) {
		quoted, err := json.Marshal(string(r.Body))
		if err != nil {
			return fmt.Errorf("encode body: %w", err)
		}
		e.Body = quoted
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(e)
}

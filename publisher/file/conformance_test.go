package file

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"testing"

	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/publishertest"
)

func TestConformance(t *testing.T) {
	const noServer = "there is no server and no connection between walherald and a file"
	publishertest.Run(t, func(t *testing.T) publishertest.Harness {
		path := padded(t)
		return publishertest.Harness{
			Topic:  "events",
			New:    func(t *testing.T) publisher.Deliverer { return deliverer(t, path) },
			Read:   func(t *testing.T) []publishertest.Stored { return conformanceRead(t, path) },
			Refuse: func(t *testing.T) func() { return limitFiles(t, size(t, path)+10_000) },
			Block:  func(t *testing.T) func() { return limitFiles(t, size(t, path)+10) },
			Lacks: map[string]string{
				"AttributesStandBesideTheBody":       "a line has no place for them; what they say is in the envelope",
				"TraceStandsBesideTheBody":           "a line has no place for it",
				"BatchCutAnywhereLosesNothing":       noServer,
				"OrderOfAKeyHoldsThroughFaults":      noServer,
				"BatchKilledInTheMiddleLosesNothing": noServer + "; walherald itself being killed is TestKilledInTheMiddleOfABatchLosesNothingConfirmed",
				"DeliveredOutlivesAKill":             noServer,
				"EmptyBatchAsksTheDestination":       noServer + "; TestEmptyBatchFindsWhatWouldKeepTheNextOut",
				"DeniedCredentialsEndTheRetries":     "a file asks for no credentials",
				"MissingTopicIsCreated":              "the topic plays no part; TestFileThatIsMissingIsMade",
				"MissingTopicIsWaitedFor":            "the topic plays no part",
				"MissingTopicEndsTheRetries":         "the topic plays no part; TestFolderThatIsMissingIsAPermanentError",
				"OversizeStopsBehindWhatCameBefore":  "a line may have any length",
				"OversizeIsSkippedAlone":             "a line may have any length",
			},
		}
	})
}

func deliverer(t *testing.T, path string) publisher.Deliverer {
	f, err := New(Config{Path: path}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func conformanceRead(t *testing.T, path string) []publishertest.Stored {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all []publishertest.Stored
	for line := range bytes.Lines(content[pad:]) {
		var body struct{ ID string }
		if err := json.Unmarshal(line, &body); err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		id, err := publisher.ParseID(body.ID)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, publishertest.Stored{ID: id, Body: bytes.TrimSuffix(line, []byte("\n"))})
	}
	return all
}

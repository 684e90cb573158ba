package metrics

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
)

func TestRecordsBelowTheLevelAreNotWritten(t *testing.T) {
	levels := []string{"debug", "info", "warn", "error"}
	for i, level := range levels {
		var out bytes.Buffer
		log, err := NewLogger(&out, level, "text")
		if err != nil {
			t.Fatal(err)
		}
		log.Debug("debug")
		log.Info("info")
		log.Warn("warn")
		log.Error("error")
		for j, name := range levels {
			if got, want := strings.Contains(out.String(), "msg="+name), j >= i; got != want {
				t.Errorf("level %s: record of level %s written: %t", level, name, got)
			}
		}
	}
}

func TestFormatsAreJSONAndText(t *testing.T) {
	var out bytes.Buffer
	log, err := NewLogger(&out, "info", "json")
	if err != nil {
		t.Fatal(err)
	}
	log.Info("connected", "slot", "orders")
	var record map[string]any
	if err := json.Unmarshal(out.Bytes(), &record); err != nil || record["slot"] != "orders" {
		t.Errorf("json gives %q (%v)", out.String(), err)
	}

	out.Reset()
	if log, err = NewLogger(&out, "info", "text"); err != nil {
		t.Fatal(err)
	}
	log.Info("connected", "slot", "orders")
	if !strings.HasSuffix(out.String(), "level=INFO msg=connected slot=orders\n") {
		t.Errorf("text gives %q", out.String())
	}
}

func TestUnknownLevelOrFormatNamesItsKey(t *testing.T) {
	for _, c := range []struct{ level, format, want string }{
		{"loud", "json", `logger.level: "loud"`},
		{"", "json", `logger.level: ""`},
		{"info", "xml", `logger.fmt: "xml"`},
	} {
		log, err := NewLogger(&bytes.Buffer{}, c.level, c.format)
		if err == nil || log != nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("NewLogger(%q, %q) = %v, %v", c.level, c.format, log, err)
		}
	}
}

func TestLevelCanChangeAtRunTime(t *testing.T) {
	var out bytes.Buffer
	level := new(slog.LevelVar)
	h, err := NewHandler(&out, level, "text")
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(h)
	log.Debug("first")
	level.Set(slog.LevelDebug)
	log.Debug("second")
	if got := out.String(); strings.Contains(got, "first") || !strings.Contains(got, "second") {
		t.Errorf("written: %q", got)
	}
}

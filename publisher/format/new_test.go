package format

import (
	"fmt"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/publisher"
)

func TestNamesAreThoseOfTheConfiguration(t *testing.T) {
	for ours, theirs := range map[string]string{
		EnvelopeWalherald: config.EnvelopeWalherald, EnvelopeWalListener: config.EnvelopeWalListener,
		EnvelopePGEvents: config.EnvelopePGEvents, EnvelopePSQLStreamer: config.EnvelopePSQLStreamer,
		EnvelopeSetu: config.EnvelopeSetu, EnvelopeCloudEvents: config.EnvelopeCloudEvents, EnvelopeDebezium: config.EnvelopeDebezium,
		CloudEventsStructured: config.CloudEventsStructured, CloudEventsBinary: config.CloudEventsBinary,
		CompressionNone: config.CompressionNone, CompressionGzip: config.CompressionGzip, CompressionZstd: config.CompressionZstd,
	} {
		if ours != theirs {
			t.Errorf("%q is called %q in the configuration", ours, theirs)
		}
	}
}

func TestEachNameMakesItsEnvelope(t *testing.T) {
	for name, want := range map[string]Envelope{
		"": Walherald{testSource}, EnvelopeWalherald: Walherald{testSource}, EnvelopeWalListener: WalListener{},
		EnvelopePGEvents: PGEvents{}, EnvelopePSQLStreamer: PSQLStreamer{testSource}, EnvelopeSetu: Setu{},
		EnvelopeCloudEvents: CloudEvents{testSource}, EnvelopeDebezium: Debezium{testSource},
	} {
		got, content, err := New(Options{Envelope: name, CloudEvents: CloudEventsStructured, Compression: CompressionNone, Source: testSource})
		if err != nil || got != want {
			t.Errorf("%q makes %#v, want %#v: %v", name, got, want, err)
		}
		wantContent := publisher.Content{Type: "application/json"}
		if name == EnvelopeCloudEvents {
			wantContent.Type = "application/cloudevents+json"
		}
		if content != wantContent {
			t.Errorf("%q has the content %+v, want %+v", name, content, wantContent)
		}
	}
}

func TestUnknownNamesAreRefusedWithTheKnownOnes(t *testing.T) {
	for _, tt := range []struct {
		options Options
		want    []string
	}{
		{Options{Envelope: "avro"}, []string{`envelope "avro"`, "walherald, wal-listener, pgevents, psql-streamer, setu, cloudevents, debezium"}},
		{Options{Envelope: EnvelopeCloudEvents, CloudEvents: "batched"}, []string{`"batched"`, "structured, binary"}},
		{Options{Compression: "brotli"}, []string{`compression "brotli"`, "none, gzip, zstd"}},
		{Options{CloudEvents: CloudEventsBinary}, []string{"mode binary of CloudEvents needs the envelope cloudevents"}},
	} {
		envelope, _, err := New(tt.options)
		if err == nil || envelope != nil {
			t.Errorf("%+v makes %#v", tt.options, envelope)
			continue
		}
		for _, part := range tt.want {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("error is %q, which lacks %q", err, part)
			}
		}
	}
}

// A consumer reads the same data in either mode.
func TestBinaryModeHasTheDataAloneAndTheAttributesBeside(t *testing.T) {
	binary, content, err := New(Options{Envelope: EnvelopeCloudEvents, CloudEvents: CloudEventsBinary, Compression: CompressionZstd, Source: testSource})
	if err != nil {
		t.Fatal(err)
	}
	want := publisher.Content{
		Type: "application/json", Encoding: "zstd",
		CloudEvents: &publisher.CloudEvents{Source: "/walherald/shop", TypePrefix: "walherald."},
	}
	if !reflect.DeepEqual(content, want) {
		t.Errorf("content is %+v, want %+v", content, want)
	}
	structured := CloudEvents{testSource}
	for _, c := range goldenCases() {
		data, err := Decompress(CompressionZstd, binary.Plan(c.event.Table, c.tags).Append(nil, c.event))
		if err != nil {
			t.Fatal(err)
		}
		if whole := structured.Plan(c.event.Table, c.tags).Append(nil, c.event); !strings.HasSuffix(string(whole), fmt.Sprintf(`,"data":%s}`, data)) {
			t.Errorf("%s: structured is %s, binary %s", c.about, whole, data)
		}
	}
}

// Both modes have to say the same of an event.
func TestAttributesOfBothModesAgree(t *testing.T) {
	source := Source{Database: `größe/"1" 100%`, Slot: "s"}
	_, content, err := New(Options{Envelope: EnvelopeCloudEvents, CloudEvents: CloudEventsBinary, Source: source})
	if err != nil {
		t.Fatal(err)
	}
	for action, table := range map[publisher.Action]string{
		publisher.Insert: "public.users", publisher.Update: "public.users", publisher.Delete: "public.users",
		publisher.Truncate: "public.users", publisher.LogicalMessage: "message.app",
	} {
		e := event(users(), action, nil, nil)
		if action == publisher.LogicalMessage {
			e = message("app", text("x"), absent)
		}
		whole := parsed(t, CloudEvents{source}.Plan(e.Table, nil).Append(nil, e)).(map[string]any)
		m := publisher.Message{ID: e.ID, Table: table, Action: action, CommitTime: e.CommitTime}
		compared := 0
		for _, a := range content.Attributes(nil, &m, "ce_") {
			name, is := strings.CutPrefix(a.Name, "ce_")
			if !is {
				continue
			}
			compared++
			if whole[name] != a.Value {
				t.Errorf("%s: %s is %q in the body and %q beside it", action, name, whole[name], a.Value)
			}
		}
		if compared != 6 {
			t.Errorf("%s: %d attributes stand beside the body, want 6", action, compared)
		}
	}
}

func TestCloudEventsSourceIsAURIReferenceThatHoldsTheDatabase(t *testing.T) {
	for _, database := range []string{"shop", "", "größe", `a/b?c#d "e"%41`, "..", "http://x", "\x01\xff"} {
		u, err := url.Parse(cloudEventsSource(Source{Database: database}))
		if err != nil {
			t.Fatal(err)
		}
		if u.Path != "/walherald/"+database || u.RawQuery != "" || u.Fragment != "" || u.IsAbs() {
			t.Errorf("the source of %q is %s, whose path is %q", database, u, u.Path)
		}
	}
}

package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// fixed are results that some targets are met with and some are not.
func fixed() *results {
	one := func(v float64) spread { return spread{v, v, v} }
	return &results{
		Date:    time.Date(2025, 3, 1, 12, 30, 0, 0, time.UTC),
		Command: "go run ./internal/bench -only 'a|b'",
		Machine: machine{
			CPU: "Some CPU", Kernel: "6.1.0", Cores: 2, MemoryGB: 8.25, Load: "0.10, 0.20, 0.30",
			Go: "go1.26.0", PostgreSQL: "15.1", Brokers: []string{"nats-server 2.15.2", "Apache Kafka 3.9.1"},
		},
		Rows: 1_000_000, Slow: 200_000, Big: 5_000_000, Runs: 3, BodyBytes: 316.4, Tables: 5000, TableRows: 500_000,
		Lines: []figures{
			{recvName, "pg_recvlogical to /dev/null", spread{300_000, 290_000, 310_000}, spread{1.2, 1.1, 1.3}, one(9)},
			{discardName, "walherald, discard", spread{285_000, 280_000, 299_999}, spread{2.6, 2.5, 2.7}, one(30)},
			{jetStreamName, "walherald to JetStream, fast ingest", spread{240_000, 239_000, 241_000}, spread{1.5, 1.4, 1.6}, spread{60, 50, 100.04}},
			{msgIDName, "walherald to JetStream, message ids", spread{99_999, 90_000, 110_000}, spread{3, 3, 4}, one(61)},
			{ceilingName, "publisher alone, fast ingest", spread{250_000, 240_000, 260_000}, spread{1, 1, 1}, one(25)},
			{ceilingNATSName, "plain client, JetStream, message ids", one(110_000), one(2), one(30)},
			{rulesDiscardName, "walherald, discard, 100 rules that never match", one(200_000), one(3), one(31)},
			{rulesJetStreamName, "walherald to JetStream, 100 rules that never match", one(230_000), one(3), one(61)},
			{kafkaName, "walherald to Kafka", spread{151_000, 150_000, 152_000}, one(2.1), spread{70, 60, 80}},
			{ceilingKafkaName, "plain client, Kafka", one(170_000), one(1.2), one(90)},
			{fanoutDiscardName, "walherald to discard and JetStream at once", one(239_000), one(1.6), one(62)},
			{fanoutKafkaName, "walherald to JetStream and Kafka at once", one(120_000), one(2.5), one(90)},
			{rabbitName, "walherald to RabbitMQ, quorum queue", one(19_000), one(8), one(61)},
			{ceilingRabbitName, "plain client, RabbitMQ, quorum queue", one(20_000), one(7), one(31)},
			{classicName, "walherald to RabbitMQ, classic queue", one(9_000), one(8), one(61)},
			{ceilingClassicName, "plain client, RabbitMQ, classic queue", one(10_000), one(7), one(31)},
			{orderedName, "walherald to Pub/Sub, ordering keys", one(15_000), one(20), one(70)},
			{ceilingOrderedName, "plain client, Pub/Sub, ordering keys", one(16_000), one(25), one(71)},
			{unorderedName, "walherald to Pub/Sub, no ordering keys", one(40_000), one(9), one(70)},
			{ceilingUnorderedName, "plain client, Pub/Sub, no ordering keys", one(50_000), one(9), one(71)},
			{bigDiscardName, "one large transaction, discard", one(200_000), one(2), one(31)},
			{turnsRecvName, "many tables in turn, pg_recvlogical", one(250_000), one(1.3), one(9)},
			{turnsDiscardName, "many tables in turn, discard", one(225_000), spread{3.9, 3.8, 4}, one(80)},
		},
		Latencies: []latency{
			{
				Name: latencyName, Title: "JetStream, fast ingest", Planned: 20_000, Missed: 3, Confirmed: 19_997, Rate: 999.85,
				P50: 1234 * time.Microsecond, P99: 10 * time.Millisecond, Max: 15 * time.Millisecond,
			},
			{
				Name: loneKafkaName, Title: "Kafka", Planned: 1000, Confirmed: 1000, Rate: 100,
				P50: 2 * time.Millisecond, P99: 4 * time.Millisecond, Max: 5 * time.Millisecond,
			},
		},
		Notifications: []notification{
			{Name: webhookName, Title: "one endpoint", Deliveries: 20_000, Rate: spread{1100, 990, 1200}, Peak: one(47)},
			{Name: webhookFiveName, Title: "five endpoints", Deliveries: 20_000, Rate: one(150), Peak: one(70)},
			{Name: webhookDeadName, Title: "five endpoints and a dead one", Deliveries: 20_000, Rate: one(120), Peak: one(80)},
		},
		Encodings: []encoding{
			{fromRow.title, spread{239.96, 230, 260.5}, spread{0, 0, 1}, true},
			{"debezium", spread{400, 390, 410}, spread{0, 0, 0}, false},
		},
	}
}

func TestReportOfFixedFigures(t *testing.T) {
	var plain bytes.Buffer
	if err := fixed().writePlain(&plain); err != nil {
		t.Fatal(err)
	}
	compare(t, "report.txt", plain.String())
	compare(t, "report.md", fixed().markdown())
}

// compare compares got with a golden file.
func compare(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (go test ./internal/bench -update rewrites it):\n%s", path, got)
	}
}

func TestTargetsAreJudgedByTheFigures(t *testing.T) {
	r := fixed()
	met := func(what string) bool {
		t.Helper()
		all := r.verdicts()
		i := slices.IndexFunc(all, func(v verdict) bool { return strings.HasPrefix(v.What, what) })
		if i < 0 {
			t.Fatalf("no verdict on %q", what)
		}
		return all[i].Met
	}
	for _, c := range []struct {
		what   string
		change func(bool)
	}{
		{"discard / pg_recvlogical", func(good bool) { r.line(discardName).Rate.Median = pick(good, 270_000, 269_999) }},
		{"JetStream, fast ingest / pg_recvlogical", func(good bool) { r.line(jetStreamName).Rate.Median = pick(good, 240_000, 239_999) }},
		{"JetStream, message ids, events/s", func(good bool) { r.line(msgIDName).Rate.Median = pick(good, 100_000, 99_999) }},
		{"discard, CPU", func(good bool) { r.line(discardName).CPU.Median = pick(good, 2.5, 2.51) }},
		{"JetStream, fast ingest, CPU", func(good bool) { r.line(jetStreamName).CPU.Median = pick(good, 1.5, 1.51) }},
		{"discard, many tables", func(good bool) {
			r.line(turnsDiscardName).CPU.Median = pick(good, 1.5, 1.51) * r.line(discardName).CPU.Median
		}},
		{"encoding, per event", func(good bool) { r.Encodings[0].Nanos.Median = pick(good, 250, 250.1) }},
		{"encoding, allocations per event, debezium", func(good bool) { r.Encodings[1].Allocs.Max = pick(good, 0, 1) }},
		{"walherald's largest peak", func(good bool) { r.line(jetStreamName).Memory.Max = pick(good, 100, 100.01) }},
		{"commit to confirmation, JetStream, fast ingest, p50", func(good bool) { r.Latencies[0].P50 = time.Duration(pick(good, 1_999_999, 2_000_000)) }},
		{"commit to confirmation, JetStream, fast ingest, p99", func(good bool) { r.Latencies[0].P99 = time.Duration(pick(good, 9_999_999, 10_000_000)) }},
		{"JetStream, message ids / the slower", func(good bool) { r.line(msgIDName).Rate.Median = pick(good, 93_500, 93_499) }},
		{"Kafka, events/s", func(good bool) { r.line(kafkaName).Rate.Median = pick(good, 150_000, 149_999) }},
		{"Kafka / the slower", func(good bool) { r.line(kafkaName).Rate.Median = pick(good, 144_500, 144_499) }},
		{"RabbitMQ, quorum queue / the slower", func(good bool) { r.line(rabbitName).Rate.Median = pick(good, 17_000, 16_999) }},
		{"RabbitMQ, classic queue / the slower", func(good bool) { r.line(classicName).Rate.Median = pick(good, 8_500, 8_499) }},
		{"Pub/Sub, ordering keys / the slower", func(good bool) { r.line(orderedName).Rate.Median = pick(good, 13_600, 13_599) }},
		{"Pub/Sub, no ordering keys / the slower", func(good bool) { r.line(unorderedName).Rate.Median = pick(good, 42_500, 42_499) }},
		{"JetStream, fast ingest / the slower", func(good bool) {
			r.line(ceilingName).Rate.Median = r.line(jetStreamName).Rate.Median / pick(good, 0.86, 0.84)
		}},
		{"discard and JetStream at once", func(good bool) {
			r.line(fanoutDiscardName).Rate.Median = pick(good, 0.86, 0.84) * r.line(jetStreamName).Rate.Median
		}},
		{"JetStream and Kafka at once", func(good bool) {
			r.line(fanoutKafkaName).Rate.Median = pick(good, 0.86, 0.84) * r.line(kafkaName).Rate.Median
		}},
		{"lone change, commit to confirmation, Kafka", func(good bool) { r.Latencies[1].P99 = time.Duration(pick(good, 4_999_999, 5_000_000)) }},
	} {
		for _, good := range []bool{true, false} {
			c.change(good)
			if met(c.what) != good {
				t.Errorf("%s: target met is %t, want %t", c.what, !good, good)
			}
		}
	}
}

func pick(first bool, a, b float64) float64 {
	if first {
		return a
	}
	return b
}

func TestWhatWasNotMeasuredIsNotJudged(t *testing.T) {
	r := &results{Lines: []figures{{Name: ceilingName}}}
	if got := r.verdicts(); len(got) > 0 {
		t.Errorf("verdicts without their lines: %+v", got)
	}
	r.Lines = []figures{{Name: turnsDiscardName}}
	if got := r.shares(); len(got) > 0 {
		t.Errorf("many tables without what they are compared with: %+v", got)
	}
	r.Lines = []figures{{Name: jetStreamName, Memory: spread{1, 1, 1}}}
	for _, v := range r.verdicts() {
		if strings.Contains(v.What, recvName) {
			t.Errorf("ratio without pg_recvlogical: %+v", v)
		}
	}
}

func TestThousandsAreSeparated(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 999: "999", 1000: "1,000", 99_999.5: "100,000", 1_234_567: "1,234,567"} {
		if got := thousands(v); got != want {
			t.Errorf("thousands(%v) is %q, want %q", v, got, want)
		}
	}
}

package config

import (
	"errors"
	"io/fs"
	"reflect"
	"testing"
	"time"
)

func TestWalListenerExampleLoadsUnchanged(t *testing.T) {
	got := mustLoad(t, "testdata/wal-listener.yml")
	want := Default()
	want.Listener.SlotName = "myslot_1"
	want.Listener.ServerPort = 80
	want.Listener.RefreshConnection = 30 * time.Second
	want.Listener.Filter.Tables = map[string][]string{"seasons": {"insert", "update"}}
	want.Listener.TopicsMap = TopicsMap{{"schema_table_name", "notifier"}}
	want.Database = Database{Host: "localhost", Port: 5432, Name: "my_db", User: "postgres", Password: "postgres"}
	want.Publisher.Type = PublisherKafka
	want.Publisher.Address = Addresses{"localhost:4222"}
	want.Publisher.EnableTLS = true
	want.Publisher.ClientCert = "cert.pem"
	want.Publisher.ClientKey = "key.pub"
	want.Publisher.CACert = "ca.pem"
	want.Publisher.Topic = "wal_listener"
	want.Monitoring.PromAddr = ":2112"
	if !reflect.DeepEqual(*got, want) {
		t.Errorf("got  %+v\nwant %+v", *got, want)
	}
}

func TestWalListenerForkExampleLoadsUnchanged(t *testing.T) {
	got := mustLoad(t, "testdata/wal-listener-include.yml")
	want := map[string][]string{"seasons": {"insert", "update"}}
	if !reflect.DeepEqual(got.Listener.Include.Tables, want) {
		t.Errorf("include.tables = %v, want %v", got.Listener.Include.Tables, want)
	}
	if got.Listener.Filter.Tables != nil {
		t.Errorf("filter.tables = %v, want none", got.Listener.Filter.Tables)
	}
}

func TestEveryWalListenerKeyIsTakenOver(t *testing.T) {
	got := mustLoad(t, "testdata/wal-listener-every-key.yml")
	rabbit := defaultPublisher()
	rabbit.Type, rabbit.Topic, rabbit.TopicPrefix, rabbit.MessageKeyFrom = PublisherRabbitMQ, "shop", "wal.", []string{"id"}
	rabbit.Address = Addresses{"amqp://guest:hunter2@mq1:5672", "amqp://guest:hunter2@mq2:5672"}
	rabbit.EnableTLS, rabbit.ClientCert, rabbit.ClientKey, rabbit.CACert = true, "cert.pem", "key.pem", "ca.pem"
	rabbit.ExchangeKind, rabbit.PubSubProjectID = "direct", "project"
	want := Config{
		Listener: Listener{
			SlotName: "slot_2", ServerPort: 8080,
			RefreshConnection: 30 * time.Second, HeartbeatInterval: 5 * time.Second, AckTimeout: time.Minute,
			DrainTimeout: 10 * time.Second, Window: 16 << 20,
			Filter: TableActions{map[string][]string{
				"Users":         {"insert", "update", "delete", "truncate"},
				"public.orders": {"insert"},
			}},
			Include: TableActions{map[string][]string{"events": {"insert"}}},
			Exclude: Exclude{[]string{"audit"}, []string{"Migrations", "public.sessions"}, []string{"password_hash"}},
			TopicsMap: TopicsMap{
				{`/^public_(.*)_(\d+)$/`, "shard.${2}.${1}"},
				{"public_Users", "people"},
				{"/^audit_/", "audit"},
			},
			SkipTransactionBuffering: true, MaxTransactionSize: 100000, DropForeignOrigin: true,
			SlotMemory: true, Schema: "walherald", Values: Values{NumericNumber, ByteaHex},
		},
		Database: Database{
			Host: "db.example.org", Port: 5433, Name: "shop", User: "walherald", Password: "0123456",
			EnableTLS: true, SSLMode: "verify-full", SSL: SSL{ServerName: "db.internal"}, Debug: true,
		},
		Publisher:  rabbit,
		Notifier:   Default().Notifier,
		Logger:     Logger{"debug", "text"},
		Monitoring: Monitoring{SentryDSN: "https://key@sentry.example.org/1", PromAddr: ":2112", Address: DefaultAddress, MaxSeries: 1000, Tracing: Tracing{Ratio: 1}},
		Tags:       map[string]string{"Region": "eu-west-1", "team": "7"},
	}
	if !reflect.DeepEqual(*got, want) {
		t.Errorf("got  %+v\nwant %+v", *got, want)
	}
}

func TestAbsentKeysHaveTheirDefaults(t *testing.T) {
	got := mustLoad(t, writeConfig(t, minimal+"  embedded:\n  oversize: ~\nlogger:\n"))
	want := Default()
	want.Listener.SlotName = "slot"
	want.Database.Host, want.Database.Name, want.Database.User = "localhost", "shop", "postgres"
	want.Publisher.Type = PublisherStdout
	if !reflect.DeepEqual(*got, want) {
		t.Errorf("got  %+v\nwant %+v", *got, want)
	}
}

func TestEmbeddedServerSyncsEverySecondUnlessToldOtherwise(t *testing.T) {
	const text = `listener: {slotName: slot}
database: {host: localhost, name: shop, user: postgres}
publisher:
  type: nats
  topic: shop
  embedded: {listen: "127.0.0.1:0", storeDir: /tmp/js`
	for _, tt := range []struct {
		tail string
		want time.Duration
	}{
		{"}", time.Second},
		{", syncInterval: 0}", 0},
		{", syncInterval: 2m}", 2 * time.Minute},
	} {
		if got := mustLoad(t, writeConfig(t, text+tt.tail)).Publisher.Embedded.SyncInterval; got != tt.want {
			t.Errorf("%q: syncInterval = %v, want %v", tt.tail, got, tt.want)
		}
	}
}

func TestListsCanBeTextWithCommas(t *testing.T) {
	cfg := mustLoad(t, writeConfig(t, `listener:
  slotName: slot
  exclude:
    columns: password_hash, token
  filter: {tables: {Users: "INSERT,delete", "a,b": update}}
  publication: {name: p, tables: [public.users, "odd,name"]}
database: {host: localhost, name: shop, user: postgres}
publisher: {type: kafka, topic: t, address: ["a:1, b:2", " c:3 "]}
`))
	for _, tt := range []struct{ got, want any }{
		{cfg.Listener.Exclude.Columns, []string{"password_hash", "token"}},
		{cfg.Listener.Filter.Tables, map[string][]string{"Users": {"insert", "delete"}, "a,b": {"update"}}},
		{cfg.Listener.Publication, Publication{Name: "p", Tables: []string{"public.users", "odd,name"}}},
		{cfg.Publisher.Address, Addresses{"a:1", "b:2", "c:3"}},
	} {
		if !reflect.DeepEqual(tt.got, tt.want) {
			t.Errorf("got %v, want %v", tt.got, tt.want)
		}
	}
}

func TestPublicationCanBeANameAlone(t *testing.T) {
	cfg := mustLoad(t, writeConfig(t, "listener: {slotName: s, publication: wal-listener}\n"+minimal[len("listener:\n  slotName: slot\n"):]))
	if want := (Publication{Name: "wal-listener"}); !reflect.DeepEqual(cfg.Listener.Publication, want) {
		t.Errorf("publication = %v, want %v", cfg.Listener.Publication, want)
	}
}

func TestFixedValuesAreTakenInAnyCaseAndKeptInLower(t *testing.T) {
	cfg := mustLoad(t, writeConfig(t, `listener: {SLOTNAME: slot}
Database: {host: localhost, name: shop, user: postgres, sslmode: Verify-Full}
publisher: {type: STDOUT, exchangekind: Direct, oversize: Skip}
logger: {level: INFO, fmt: Text}
`))
	for _, tt := range []struct{ got, want string }{
		{cfg.Database.SSLMode, SSLModeVerifyFull},
		{cfg.Publisher.Type, PublisherStdout},
		{cfg.Publisher.ExchangeKind, "direct"},
		{cfg.Publisher.Oversize, OversizeSkip},
		{cfg.Logger.Level, "info"},
		{cfg.Logger.Fmt, "text"},
	} {
		if tt.got != tt.want {
			t.Errorf("got %q, want %q", tt.got, tt.want)
		}
	}
}

func TestYAMLAnchorsCanBeUsed(t *testing.T) {
	cfg := mustLoad(t, writeConfig(t, "tags: {a: &team billing, b: *team}\n"+minimal))
	if want := map[string]string{"a": "billing", "b": "billing"}; !reflect.DeepEqual(cfg.Tags, want) {
		t.Errorf("tags = %v, want %v", cfg.Tags, want)
	}
}

func TestMissingFileIsToldFromABadOne(t *testing.T) {
	if _, err := Load("testdata/none.yml"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Load of a missing file: %v, want fs.ErrNotExist", err)
	}
	if _, err := Load(writeConfig(t, "")); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Load of an empty file: %v, want what is required", err)
	}
}

func TestTLSModeFollowsTheStrictestReading(t *testing.T) {
	for _, tt := range []struct {
		db   Database
		want string
	}{
		{Database{}, SSLModeDisable},
		{Database{EnableTLS: true}, SSLModeVerifyFull},
		{Database{SSL: SSL{CACert: "ca.pem"}}, SSLModeVerifyFull},
		{Database{SSL: SSL{ServerName: "db"}}, SSLModeVerifyFull},
		{Database{SSL: SSL{SkipVerify: true}}, SSLModeRequire},
		{Database{EnableTLS: true, SSL: SSL{SkipVerify: true}}, SSLModeRequire},
		{Database{EnableTLS: true, SSLMode: SSLModeVerifyCA}, SSLModeVerifyCA},
	} {
		if got := tt.db.TLSMode(); got != tt.want {
			t.Errorf("TLSMode of %+v = %q, want %q", tt.db, got, tt.want)
		}
	}
}

func TestExpressionStandsBetweenSlashes(t *testing.T) {
	for match, want := range map[string]string{"/^a/": "^a", "public_users": "", "/": "", "//": "", "/a": "", "/a/b/": "a/b"} {
		got, ok := TopicRule{Match: match}.Expression()
		if got != want || ok != (want != "" || match == "//") {
			t.Errorf("Expression of %q = %q, %v; want %q", match, got, ok, want)
		}
	}
}

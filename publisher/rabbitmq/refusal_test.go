package rabbitmq

import (
	"log/slog"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/publishertest"
)

const secret = "hunter2%2F@"

func TestMessageCarriesWhatTheManualSays(t *testing.T) {
	b := newBroker(t).bind(nil)
	p := b.open(func(p *Publisher) { p.cfg.Content = publisher.Content{Type: "application/json", Encoding: "gzip"} })
	m := changes(b.exchange, 3, 1)[0]
	publishertest.Deliver(t, p, []publisher.Message{m})
	got, ok := b.take()
	if !ok {
		t.Fatal("nothing is stored")
	}
	headers := amqp.Table{}
	for _, a := range p.cfg.Content.Attributes(nil, &m, "") {
		headers[a.Name] = a.Value
	}
	for _, c := range []struct {
		name      string
		got, want any
	}{
		{"delivery mode", got.DeliveryMode, amqp.Persistent},
		{"message-id", got.MessageId, m.ID.String()},
		{"type", got.Type, "INSERT"},
		{"app-id", got.AppId, "walherald"},
		{"timestamp", got.Timestamp.Unix(), m.CommitTime / 1_000_000},
		{"content-type", got.ContentType, "application/json"},
		{"content-encoding", got.ContentEncoding, "gzip"},
		{"routing key", got.RoutingKey, m.Topic},
		{"exchange", got.Exchange, b.exchange},
		{"headers", got.Headers, headers},
		{"body", string(got.Body), string(m.Body)},
	} {
		if !reflect.DeepEqual(c.got, c.want) {
			t.Errorf("%s is %v, want %v", c.name, c.got, c.want)
		}
	}
}

func TestExchangeOfAnotherKindIsRefusedWithARemedy(t *testing.T) {
	b := newBroker(t)
	b.must(b.ch.ExchangeDeclare(b.exchange, amqp.ExchangeFanout, true, false, false, false, nil))
	b.bindQueue(nil)
	p := b.open()
	mustFail(t, p, nil, true, "publisher.exchangeKind", "PRECONDITION_FAILED", b.exchange)
	for _, change := range []func(*Publisher){
		func(p *Publisher) { p.cfg.Kind = "fanout" },
		func(p *Publisher) { p.cfg.Missing = MissingWait },
		func(p *Publisher) { p.cfg.Missing = MissingStop },
	} {
		publishertest.Deliver(t, b.open(change), changes(b.exchange, 0, 7))
	}
}

func TestEveryKindOfExchangeIsMade(t *testing.T) {
	for _, kind := range []string{"topic", "direct", "fanout"} {
		t.Run(kind, func(t *testing.T) {
			b := newBroker(t)
			p := b.open(func(p *Publisher) { p.cfg.Kind = kind })
			publishertest.Deliver(t, p, nil) // makes it
			if err := b.ch.ExchangeDeclare(b.exchange, kind, true, false, false, false, nil); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestWrongAccessIsPermanentAndShowsNoPassword(t *testing.T) {
	b := newBroker(t).bind(nil)
	control(t, "add_user", "writer", "pencil")
	defer control(t, "delete_user", "writer")
	host := strings.TrimPrefix(b.url, "amqp://guest:guest@")
	for name, c := range map[string]struct {
		change func(*Config)
		text   string
	}{
		"password of the configuration": {func(c *Config) { c.Password = secret }, "publisher.password"},
		"user of the configuration":     {func(c *Config) { c.User = "nobody" }, "publisher.user"},
		"password of the address":       {func(c *Config) { c.URLs = []string{"amqp://guest:hunter2%252F%40@" + host} }, "publisher.address"},
		"vhost":                         {func(c *Config) { c.URLs = []string{b.url + "nowhere"} }, `"nowhere"`},
		"rights in the vhost":           {func(c *Config) { c.User, c.Password = "writer", "pencil" }, "vhost"},
		"no URL":                        {func(c *Config) { c.URLs = []string{"amqp://guest:hunter2%@host"} }, "address is no URL"},
		"address divided in a password": {func(c *Config) { c.URLs = []string{"amqp://guest:hunter2/@host"} }, "address is no URL"},
		"no address":                    {func(c *Config) { c.URLs = nil }, "publisher.address"},
		"reserved name":                 {func(c *Config) { c.Exchange = "amq.walherald" }, "ACCESS_REFUSED"},
		"long name":                     {func(c *Config) { c.Exchange = strings.Repeat("x", 256) }, "publisher.topic"},
	} {
		t.Run(name, func(t *testing.T) {
			p := b.open(func(p *Publisher) { c.change(&p.cfg) })
			for _, batch := range [][]publisher.Message{nil, changes(b.exchange, 0, 1)} {
				mustFail(t, p, batch, true, c.text)
				if err := p.Deliver(t.Context(), batch); strings.Contains(err.Error(), "hunter2") {
					t.Errorf("error shows the password: %v", err)
				}
			}
			for _, f := range Check(t.Context(), p.cfg) {
				if strings.Contains(f.What+f.Remedy, "hunter2") {
					t.Errorf("finding shows the password: %v", f)
				}
			}
		})
	}
}

func TestUserOfTheConfigurationComesBeforeThatOfTheAddress(t *testing.T) {
	b := newBroker(t).bind(nil)
	url := strings.Replace(b.url, "guest:guest", "nobody:nothing", 1)
	p := b.open(func(p *Publisher) { p.cfg.URLs, p.cfg.User, p.cfg.Password = []string{url}, "guest", "guest" })
	publishertest.Deliver(t, p, changes(b.exchange, 0, 1))
}

func TestUserWhoMayOnlyWriteNeedsTheExchangeMade(t *testing.T) {
	b := newBroker(t)
	control(t, "add_user", "scribe", "pencil")
	defer control(t, "delete_user", "scribe")
	control(t, "set_permissions", "scribe", "^$", "^"+b.exchange+"$", "^$")
	p := b.open(func(p *Publisher) { p.cfg.User, p.cfg.Password = "scribe", "pencil" })
	mustFail(t, p, nil, true, "right to configure", b.exchange)
	b.bind(nil)
	publishertest.Deliver(t, p, changes(b.exchange, 0, 70))
	control(t, "set_permissions", "scribe", "^$", "^$", "^$")
	p = b.open(func(p *Publisher) { p.cfg.User, p.cfg.Password = "scribe", "pencil" })
	mustFail(t, p, changes(b.exchange, 70, 1), true, "right to write", b.exchange)
}

func TestMissingExchangeIsPermanentOnlyWithPolicyStop(t *testing.T) {
	b := newBroker(t)
	for _, policy := range []string{MissingWait, MissingStop} {
		p := b.open(func(p *Publisher) { p.cfg.Missing = policy })
		for _, batch := range [][]publisher.Message{nil, changes(b.exchange, 0, 7)} {
			mustFail(t, p, batch, policy == MissingStop, b.exchange, "does not exist", "publisher.missingTopic: create")
		}
	}
}

func TestLongRoutingKeyIsPermanent(t *testing.T) {
	b := newBroker(t).bind(nil)
	p := b.open()
	batch := changes(b.exchange, 0, 2)
	batch[1].Topic = strings.Repeat("k", 256)
	mustFail(t, p, batch, true, "256 bytes", "255", "listener.topicsMap")
	batch[1].Topic = batch[1].Topic[1:]
	publishertest.Deliver(t, p, batch)
	if got := numbers(t, b.takeAll()); len(got) != 2 {
		t.Errorf("%v are stored", got)
	}
}

func TestLimitOfSizeIsAskedForAgainByTheNextSession(t *testing.T) {
	b := newBroker(t).bind(nil)
	var skipped []publisher.ID
	p := New(Config{URLs: []string{b.url}, Exchange: b.exchange, SkipOversize: true},
		Hooks{Skipped: func(m publisher.Message) { skipped = append(skipped, m.ID) }}, slog.New(slog.DiscardHandler))
	defer func() { fatal(t, p.Close()) }()
	batch := changes(b.exchange, 0, 21)
	for _, i := range []int{3, 12} {
		batch[i].Body = make([]byte, testMaxMessage+1)
	}
	publishertest.Deliver(t, p, batch)
	if want := []publisher.ID{publishertest.ID(3), publishertest.ID(12)}; !reflect.DeepEqual(skipped, want) {
		t.Errorf("skipped are %v, want %v", skipped, want)
	}
	stored := make(map[int]bool) // what was on its way beside them is repeated
	for _, n := range numbers(t, b.takeAll()) {
		stored[n] = true
	}
	if len(stored) != 19 || stored[3] || stored[12] {
		t.Errorf("%v are stored", stored)
	}
	if p.limit != testMaxMessage || p.session.limit != testMaxMessage {
		t.Errorf("limit is %d, of the session %d", p.limit, p.session.limit)
	}
	p.session.abort()
	publishertest.Deliver(t, p, nil)
	if p.limit != 0 || p.session.limit != 0 {
		t.Errorf("limit of an earlier session is kept: %d, %d", p.limit, p.session.limit)
	}
}

func TestSizeLimitIsReadFromTheBrokersText(t *testing.T) {
	for text, want := range map[string]int{
		"PRECONDITION_FAILED - message size 70000 is larger than configured max size 65536": 65536,
		"PRECONDITION_FAILED - message size 70000 larger than configured max size 65536":    65536,
		"PRECONDITION_FAILED - message size 536870913 is larger than max size 536870912":    536870912,
		"PRECONDITION_FAILED - message size 1 is larger than configured max size 2":         0,
		"PRECONDITION_FAILED - inequivalent arg 'type'":                                     0,
	} {
		got, ok := sizeLimit(&amqp.Error{Code: amqp.PreconditionFailed, Reason: text})
		if got != want && ok || ok != (want > 0) {
			t.Errorf("%s: %d, %v", text, got, ok)
		}
	}
}

func TestAddressesAreReadAsURLs(t *testing.T) {
	for _, c := range []struct {
		raw    string
		secure bool
		want   string
	}{
		{"amqp://u:p@h:1/v", false, "amqp u p h 1 v"},
		{"h", false, "amqp guest guest h 5672 /"},
		{"h:7", true, "amqps guest guest h 7 /"},
		{"amqp://h", true, "amqps guest guest h 5671 /"},
		{"amqps://u:p%40@h/a%2Fb", false, "amqps u p@ h 5671 a/b"},
		{"http://h", false, ""},
		{"amqp://u:p@q@h/x@y", false, ""},
	} {
		uri, err := parseURL(c.raw, c.secure)
		got := strings.Join([]string{uri.Scheme, uri.Username, uri.Password, uri.Host, strconv.Itoa(uri.Port), uri.Vhost}, " ")
		if (err != nil) != (c.want == "") || err == nil && got != c.want {
			t.Errorf("%s: %s, %v; want %s", c.raw, got, err, c.want)
		}
	}
}

// findings are told apart by path and severity.
func TestCheckSaysWhatAStartWouldMeet(t *testing.T) {
	b := newBroker(t)
	present := newBrokerNamed(t, b.exchange+"-present").bind(nil)
	for name, c := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"present":       {func(c *Config) { c.Exchange = present.exchange }, "ok publisher.address, ok publisher.exchangeKind, ok publisher.topic"},
		"other kind":    {func(c *Config) { c.Exchange, c.Kind = present.exchange, "direct" }, "ok publisher.address, error publisher.exchangeKind"},
		"as it is":      {func(c *Config) { c.Exchange, c.Kind, c.Missing = present.exchange, "direct", MissingWait }, "ok publisher.address, ok publisher.topic, ok publisher.topic"},
		"would be made": {func(*Config) {}, "ok publisher.address, ok publisher.topic"},
		"missing":       {func(c *Config) { c.Missing = MissingStop }, "ok publisher.address, error publisher.topic"},
		"password":      {func(c *Config) { c.Password = secret }, "error publisher.user"},
		"vhost":         {func(c *Config) { c.URLs = []string{b.url + "nowhere"} }, "error publisher.address"},
		"no URL":        {func(c *Config) { c.URLs = []string{"a b"} }, "error publisher.address"},
		"nobody there":  {func(c *Config) { c.URLs = []string{"127.0.0.1:1"} }, "error publisher.address"},
	} {
		cfg := Config{URLs: []string{b.url}, Exchange: b.exchange}
		c.change(&cfg)
		var got []string
		for _, f := range Check(t.Context(), cfg) {
			got = append(got, f.Severity.String()+" "+f.Path)
			if f.Severity == config.FindingError && f.Remedy == "" {
				t.Errorf("%s: %s has no remedy", name, f.What)
			}
		}
		if strings.Join(got, ", ") != c.want {
			t.Errorf("%s: %s, want %s", name, strings.Join(got, ", "), c.want)
		}
	}
	if err := b.ch.ExchangeDeclarePassive(b.exchange, "topic", true, false, false, false, nil); code(err) != amqp.NotFound {
		t.Errorf("Check has made the exchange: %v", err)
	}
	b.connect()
}

func TestConnectionTimeoutOfTheAddressCounts(t *testing.T) {
	b := newBroker(t)
	proxy, url := through(t)
	proxy.Blackhole(true)
	p := b.open(func(p *Publisher) { p.cfg.URLs = []string{url + "?connection_timeout=100"} })
	start := time.Now()
	if err := p.Deliver(t.Context(), nil); err == nil || publisher.IsPermanent(err) {
		t.Errorf("got %v", err)
	}
	if took := time.Since(start); took >= connectTimeout {
		t.Errorf("it took %v", took)
	}
}

// What an attempt failed of is shown to whoever asks how walherald does.
func TestErrorsOfAttemptsHoldNothingOfTheRow(t *testing.T) {
	m := publisher.Message{ID: publishertest.ID(1), Key: []byte("carol@example.org"), Table: "public.users", Topic: "shop.users"}
	for _, err := range []error{nackError(&m, "shop"), returnError(&m, "shop", amqp.Return{})} {
		if strings.Contains(err.Error(), "carol") {
			t.Errorf("data of a row is in %v", err)
		}
	}
}

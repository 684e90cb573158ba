package config

import (
	"strings"
	"testing"
	"time"
)

// rulesOf returns a valid configuration of one rule that sends to a webhook.
func rulesOf(t *testing.T) *Config {
	t.Helper()
	c := valid()
	ref := DestinationRef{Destination: webhook("orders")}
	c.Notifier.Rules = Rules{{Name: "paid", Destination: &ref}}
	return c
}

func webhook(name string) Destination {
	d := defaultDestination()
	d.Name, d.Type, d.URL = name, DestinationWebhook, "https://example.org/hunter2"
	return d
}

// toPerson is a valid destination of the type, for people.
func toPerson(kind string) Destination {
	d := defaultDestination()
	d.Type, d.Token = kind, "hunter2"
	if kind == DestinationSlack {
		d.Channel = "#sales"
	} else {
		d.ChatID = "-1"
	}
	return d
}

// problemCase is a way to spoil a configuration, and the one problem it makes.
type problemCase struct {
	name  string
	spoil func(*Config)
	want  string // how the problem begins; "" for none
}

func checkCases(t *testing.T, cases []problemCase) {
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			c := rulesOf(t)
			tt.spoil(c)
			got := messages(t, c.Validate())
			if tt.want == "" && len(got) > 0 {
				t.Errorf("got %q, want no problem", got)
			}
			if tt.want != "" && (len(got) != 1 || !strings.HasPrefix(got[0], tt.want)) {
				t.Errorf("got %q, want one problem that begins %q", got, tt.want)
			}
			if strings.Contains(strings.ToLower(strings.Join(got, "")), "hunter2") {
				t.Errorf("a value is shown: %q", got)
			}
		})
	}
}

func TestEveryRuleOfTheNotifierIsReportedAtItsPath(t *testing.T) {
	rule := func(change func(r *Rule)) func(*Config) {
		return func(c *Config) { change(&c.Notifier.Rules[0]) }
	}
	condition := func(cond Condition, ops ...string) func(*Config) {
		return rule(func(r *Rule) { r.OpType, r.Conditions = ops, Conditions{cond} })
	}
	refs := func(refs ...DestinationRef) func(*Config) {
		return rule(func(r *Rule) { r.Destination, r.Destinations = nil, refs })
	}
	yes, text := true, "hunter2"
	checkCases(t, []problemCase{
		{"nothing", func(*Config) {}, ""},
		{"no publisher", func(c *Config) { c.Publisher = defaultPublisher() }, ""},
		{"publisher without its type", func(c *Config) { c.Publisher.Type = "" }, "publisher.type: is required where other keys"},
		{"neither", func(c *Config) { c.Publisher.Type, c.Notifier.Rules = "", nil }, "publisher.type: is required, or notifier.rules; set it in the file or as WAL_PUBLISHER_TYPE"},
		{"small window", func(c *Config) { c.Notifier.Window = minWindow - 1 }, "notifier.window: must be at least 64KiB"},
		{"small window for nothing", func(c *Config) { c.Notifier.Window, c.Notifier.Rules = 0, nil }, ""},

		{"name with a blank", rule(func(r *Rule) { r.Name = "a b" }), "notifier.rules[0].name: must be 1 to 63"},
		{"made name", rule(func(r *Rule) { r.Name = "" }), ""},
		{"name twice", func(c *Config) { c.Notifier.Rules = append(c.Notifier.Rules, c.Notifier.Rules[0]) }, `notifier.rules[1].name: is "paid" as that of notifier.rules[0]`},
		{"name as one that is made", func(c *Config) {
			c.Notifier.Rules = append(c.Notifier.Rules, c.Notifier.Rules[0])
			c.Notifier.Rules[0].Name, c.Notifier.Rules[1].Name = "1", ""
		}, `notifier.rules[1].name: is "1" as that of notifier.rules[0]`},

		{"topic", rule(func(r *Rule) { r.Topic = "public_*" }), ""},
		{"expression", rule(func(r *Rule) { r.Topic = "/^public_/" }), ""},
		{"open expression", rule(func(r *Rule) { r.Topic = "/^public_" }), "notifier.rules[0].topic: begins with /"},
		{"bad expression", rule(func(r *Rule) { r.Topic = "/(hunter2/" }), "notifier.rules[0].topic: is no regular expression: missing closing )"},
		{"any table", rule(func(r *Rule) { r.Table = "*" }), ""},
		{"table of a schema", rule(func(r *Rule) { r.Table = "public.users" }), ""},
		{"schema without a table", rule(func(r *Rule) { r.Table = "public." }), "notifier.rules[0].table: must be"},
		{"table without a schema", rule(func(r *Rule) { r.Table = ".users" }), "notifier.rules[0].table: must be"},
		{"actions", rule(func(r *Rule) { r.OpType = []string{"Insert", "update", "delete", "truncate", "*"} }), ""},
		{"unknown action", rule(func(r *Rule) { r.OpType = []string{"insert", "updat"} }), `notifier.rules[0].op_type[1]: is none of insert, update, delete, truncate, *; did you mean "update"?`},
		{"when", rule(func(r *Rule) { r.When = `new.a == "b"` }), ""},
		{"when and conditions", rule(func(r *Rule) { r.When, r.Conditions = "true", Conditions{{Field: "a", Changed: &yes}} }), "notifier.rules[0].when: goes in the place of conditions"},
		{"row of a truncate", condition(Condition{Field: "a", NewValue: &text}, "truncate"), "notifier.rules[0].op_type: is truncate alone"},
		{"expression of a truncate", rule(func(r *Rule) { r.When, r.OpType = `schema == "public"`, []string{"truncate"} }), ""},

		{"condition", condition(Condition{Field: "a", NewValue: &text}), ""},
		{"no field", condition(Condition{NewValue: &text}), "notifier.rules[0].conditions[0].field: is required"},
		{"no test", condition(Condition{Field: "a"}), "notifier.rules[0].conditions[0]: tests nothing; set one of old_value"},
		{"in", condition(Condition{Field: "a", In: []string{"hunter2"}}), ""},
		{"bad regex", condition(Condition{Field: "a", Regex: "[hunter2"}), "notifier.rules[0].conditions[0].regex: is no regular expression: missing closing ]"},
		{"changed of an update", condition(Condition{Field: "a", Changed: &yes}, "insert", "update"), ""},
		{"changed of an insert", condition(Condition{Field: "a", Changed: &yes}, "INSERT", "delete"), "notifier.rules[0].conditions[0].changed: compares"},

		{"no destination", refs(), "notifier.rules[0]: sends nowhere"},
		{"several", refs(DestinationRef{Destination: webhook("a")}, DestinationRef{Destination: webhook("b")}), ""},
		{"one twice", refs(DestinationRef{Destination: webhook("a")}, DestinationRef{Destination: webhook("a")}), "notifier.rules[0].destinations[1]: is there twice"},
		{"two of one name", refs(DestinationRef{Destination: webhook("a")}, DestinationRef{Destination: altered(webhook("a"), func(d *Destination) { d.Batch = 2 })}), `notifier.rules[0].destinations[1].name: is "a" as that of notifier.rules[0].destinations[0]`},
		{"two of one made name", refs(DestinationRef{Destination: webhook("")}, DestinationRef{Destination: altered(webhook(""), func(d *Destination) { d.Batch = 2 })}), `notifier.rules[0].destinations[1].name: is "paid-webhook" as that of notifier.rules[0].destinations[0]`},
		{"name of a publisher", refs(DestinationRef{Destination: webhook("nats")}), `notifier.rules[0].destinations[0].name: is "nats" as that of publisher`},
		{"name of the source", refs(DestinationRef{Destination: webhook("postgres")}), "notifier.rules[0].destinations[0].name: is the name of the source"},
		{"name with a blank at a destination", refs(DestinationRef{Destination: webhook("a b")}), "notifier.rules[0].destinations[0].name: must be 1 to 63"},

		{"reference", func(c *Config) {
			c.Notifier.Destinations = Destinations{webhook("orders")}
			refs(DestinationRef{Ref: "orders"})(c)
		}, ""},
		{"reference and the same written out", func(c *Config) { c.Notifier.Destinations = Destinations{webhook("orders")} }, ""},
		{"unknown reference", refs(DestinationRef{Ref: "hunter2"}), "notifier.rules[0].destinations[0]: is not the name of an item of notifier.destinations; add one or correct this"},
		{"misspelt reference", func(c *Config) {
			c.Notifier.Destinations = Destinations{webhook("orders")}
			refs(DestinationRef{Ref: "order"})(c)
		}, `notifier.rules[0].destinations[0]: is not the name of an item of notifier.destinations; did you mean "orders"?`},
		{"publisher as a reference", refs(DestinationRef{Ref: "nats"}), "notifier.rules[0].destinations[0]: is not the name of an item of notifier.destinations"},
		{"destination that no rule names", func(c *Config) { c.Notifier.Destinations = Destinations{webhook("")} }, "notifier.destinations[0].name: is required"},
		{"listed name twice", func(c *Config) { c.Notifier.Destinations = Destinations{webhook("a"), webhook("a")} }, `notifier.destinations[1].name: is "a" as that of notifier.destinations[0]`},
		{"listed name of a publisher", func(c *Config) {
			c.Notifier.Destinations = Destinations{webhook("nats")}
			refs(DestinationRef{Ref: "nats"})(c)
		}, `notifier.destinations[0].name: is "nats" as that of publisher`},
	})
}

func TestParkingIsCheckedForAPlaceThatKeepsThings(t *testing.T) {
	parking := func(change func(p *Parking)) func(*Config) {
		return func(c *Config) { change(&c.Notifier.Parking) }
	}
	topic := func(publisher string) func(*Config) {
		return parking(func(p *Parking) { p.Store, p.Publisher, p.Topic = StoreTopic, publisher, "undelivered" })
	}
	checkCases(t, []problemCase{
		{"store", parking(func(p *Parking) { p.Store = "queue" }), "notifier.parking.store: is none of table, topic"},
		{"no schema", func(c *Config) { c.Listener.Schema, c.Listener.SlotMemory = "", false }, "notifier.parking.store: is in listener.schema, which is empty"},
		{"publisher of a table", parking(func(p *Parking) { p.Publisher = "nats" }), "notifier.parking.publisher: works with store topic only"},
		{"topic of a table", parking(func(p *Parking) { p.Topic = "t" }), "notifier.parking.topic: works with store topic only"},
		{"topic", topic("nats"), ""},
		{"schedule of a topic", func(c *Config) { topic("nats")(c); c.Notifier.Parking.Schedule = []time.Duration{1} }, "notifier.parking.schedule: works with store table only"},
		{"age in a topic", func(c *Config) { topic("nats")(c); c.Notifier.Parking.MaxAge = 1 }, "notifier.parking.maxAge: works with store table only"},
		{"no topic", parking(func(p *Parking) { p.Store, p.Publisher = StoreTopic, "nats" }), "notifier.parking.topic: is required"},
		{"no publisher", topic(""), "notifier.parking.publisher: is required; set it in the file or as WAL_NOTIFIER_PARKING_PUBLISHER"},
		{"misspelt publisher", topic("nast"), `notifier.parking.publisher: is not the name of a publisher with a broker or of type file; did you mean "nats"?`},
		{"publisher that keeps nothing", func(c *Config) { c.Publisher = only("stdout"); topic("stdout")(c) }, "notifier.parking.publisher: is not the name of a publisher with a broker"},
		{"publisher of a file", func(c *Config) { c.Publisher = only("file"); c.Publisher.Path = "/f"; topic("file")(c) }, ""},
		{"schedule", parking(func(p *Parking) { p.Schedule = []time.Duration{1, 0} }), "notifier.parking.schedule[1]: must be longer than 0"},
		{"no schedule", parking(func(p *Parking) { p.Schedule = nil }), ""},
		{"age", parking(func(p *Parking) { p.MaxAge = -1 }), "notifier.parking.maxAge: must not be negative"},
	})
}

func TestListedDestinationsAreCheckedOnceHoweverManyRulesNameThem(t *testing.T) {
	c := rulesOf(t)
	c.Notifier.Destinations = Destinations{altered(webhook("a"), func(d *Destination) { d.Batch = 0 })}
	for i := range 2 {
		c.Notifier.Rules = append(c.Notifier.Rules, Rule{Name: "r" + string(rune('0'+i)), Destinations: DestinationRefs{{Ref: "a"}}})
	}
	got := messages(t, c.Validate())
	if len(got) != 1 || !strings.HasPrefix(got[0], "notifier.destinations[0].batch: ") {
		t.Errorf("got %q, want one problem of the listed destination", got)
	}
}

func TestProblemsOfTheNotifierNameTheirLines(t *testing.T) {
	checkProblems(t, minimal+`notifier:
  destinations:
    - name: hooks
      type: webhook
      url: https://a
      batch: 0
  rules:
    - table: users
      op_type: [insert, upsert]
      destination: hook
    - destination: ""
    - destinations:
      - type: slack
        tokn: a
`,
		`config.yml:14: notifier.destinations[0].batch: must be 1 to 1000`,
		`config.yml:17: notifier.rules[0].op_type[1]: is none of insert, update, delete, truncate, *; did you mean "insert"?`,
		`config.yml:18: notifier.rules[0].destination: is not the name of an item of notifier.destinations; did you mean "hooks"?`,
		`config.yml:19: notifier.rules[1].destination: is empty; name a destination or write one out`,
		`config.yml:21: notifier.rules[2].destinations[0].url: is required for type slack, or token and channel`,
		`config.yml:22: notifier.rules[2].destinations[0].tokn: unknown key; did you mean "token"?`,
	)
}

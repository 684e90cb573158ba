package listener

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/listener/pgoutput"
	"github.com/walherald/walherald/publisher"
)

func TestTablesWithoutARuleGoTheConfiguredWay(t *testing.T) {
	rules := config.TopicsMap{{Match: "public_users", Topic: "people"}, {Match: `/^public_(\w+)_old$/`, Topic: "old.${1}"}}
	template := func(text string) config.Listener { return config.Listener{TopicsMap: rules, TopicTemplate: text} }
	for _, tt := range []struct {
		name  string
		cfg   config.Listener
		table string
		want  string // topics of INSERT, UPDATE, DELETE and TRUNCATE; - is none
	}{
		{"rule before fallback", config.Listener{TopicsMap: rules, FallbackTopic: "rest"}, "public.users", "t.p-people"},
		{"expression before fallback", config.Listener{TopicsMap: rules, FallbackTopic: "rest"}, "public.orders_old", "t.p-old.orders"},
		{"fallback", config.Listener{TopicsMap: rules, FallbackTopic: "rest"}, "public.orders", "t.p-rest"},
		{"fallback without rules", config.Listener{FallbackTopic: "rest"}, "public.orders", "t.p-rest"},
		{"rule before discarding", config.Listener{TopicsMap: rules, DiscardUnmatched: true}, "public.users", "t.p-people"},
		{"discarded", config.Listener{TopicsMap: rules, DiscardUnmatched: true}, "public.orders", "-"},
		{"rule before template", template("x"), "public.users", "t.p-people"},
		{"template", template("{{.Database}}.{{.Schema}}.{{.Table}}"), "Audit.My Orders", "t.p-shop.Audit.My Orders"},
		{"template by action", template("{{.Action}}-{{.Table}}"), "public.orders", "t.p-INSERT-orders t.p-UPDATE-orders t.p-DELETE-orders t.p-TRUNCATE-orders"},
		{"template with a choice", template(`{{if eq .Action "DELETE" "TRUNCATE"}}gone{{else}}here{{end}}`), "public.orders", "t.p-here t.p-here t.p-gone t.p-gone"},
		{"template with space around", template("\n  {{.Table}}  \n"), "public.orders", "t.p-orders"},
	} {
		r := mustRouter(t, tt.cfg, Route{Topic: "t", TopicPrefix: "p-", Database: "shop"})
		p := mustPlan(t, r, describedTable(tt.table, pgoutput.IdentityDefault, "id*"), details{})
		want := strings.Split(tt.want, " t.")
		for a := publisher.Insert; a <= publisher.Truncate; a++ {
			w := want[0]
			if len(want) > 1 && a > publisher.Insert {
				w = "t." + want[a-publisher.Insert]
			}
			if w == "-" {
				if p.pass[a] {
					t.Errorf("%s: %v of %s passes", tt.name, a, tt.table)
				}
				continue
			}
			if !p.pass[a] || p.outs[0].topics[a] != w {
				t.Errorf("%s: %v of %s goes to %q (passes: %t), want %q", tt.name, a, tt.table, p.outs[0].topics[a], p.pass[a], w)
			}
		}
	}
}

func TestDiscardedChangesAreCounted(t *testing.T) {
	r := &recorder{}
	c := newTestChanges(t, config.Listener{TopicsMap: config.TopicsMap{{Match: "public_users", Topic: "people"}}, DiscardUnmatched: true}, r)
	for _, m := range someTransactions() {
		if err := c.handle(m); err != nil {
			t.Fatal(err)
		}
	}
	if n := testutil.ToFloat64(c.plans[2].filtered); n != 3 || len(r.ids) != 5 {
		t.Errorf("%v changes are counted and %d came, want 3 and 5", n, len(r.ids))
	}
}

func TestTemplateThatMakesNoTopicNamesTheTable(t *testing.T) {
	const notDelete = `{{if ne .Action "DELETE"}}x{{end}}`
	for name, tt := range map[string]struct {
		cfg   config.Listener
		words []string // of the error; none means there is none
	}{
		"nothing":       {config.Listener{TopicTemplate: notDelete}, []string{"DELETE of public.users", "topicTemplate gives nothing", "topicsMap"}},
		"failure":       {config.Listener{TopicTemplate: `{{if .Table}}{{index .Table 99}}{{end}}`}, []string{"INSERT of public.users", "topicTemplate"}},
		"with a rule":   {config.Listener{TopicTemplate: notDelete, TopicsMap: config.TopicsMap{{Match: "public_users", Topic: "t"}}}, nil},
		"not published": {config.Listener{TopicTemplate: notDelete, Include: config.TableActions{Tables: map[string][]string{"users": {"insert"}}}}, nil},
	} {
		_, err := mustRouter(t, tt.cfg, Route{}).plan(describedTable("public.users", pgoutput.IdentityDefault, "id*"), details{})
		if (err == nil) != (tt.words == nil) {
			t.Errorf("%s: got %v", name, err)
			continue
		}
		for _, w := range tt.words {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: error lacks %q: %v", name, w, err)
			}
		}
	}
}

func TestUnusableTemplateIsNamed(t *testing.T) {
	_, err := newTopicMaker(Route{Rules: config.TopicRules{Template: "{{.Tabel}}"}})
	if err == nil || !strings.Contains(err.Error(), "topicTemplate") || !strings.Contains(err.Error(), "Tabel") {
		t.Errorf("got %v", err)
	}
}

func TestOwnSchemaNeverLeaves(t *testing.T) {
	cfg := config.Default().Listener
	cfg.Filter.Tables = map[string][]string{"slots": {"insert"}}
	r := mustRouter(t, cfg, Route{})
	for table, want := range map[string]bool{"walherald.slots": false, "public.slots": true, "Walherald.slots": true} {
		if p := mustPlan(t, r, describedTable(table, pgoutput.IdentityDefault, "id*"), details{}); p.pass[publisher.Insert] != want {
			t.Errorf("%s passes: %t", table, !want)
		}
	}
}

package listener

import (
	"fmt"
	"regexp"
	"strings"
	"text/template"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/publisher"
)

// topicMaker makes the topics of tables for one output.
type topicMaker struct {
	route    Route
	rules    []topicRule
	template *template.Template // or nil
}

// topicRule is a config.TopicRule made ready.
type topicRule struct {
	exact string
	re    *regexp.Regexp // or nil
	topic string
}

// replace returns what the rule makes of the name if it matches.
func (t *topicRule) replace(name string) (string, bool) {
	switch {
	case t.re == nil:
		return t.topic, t.exact == name
	case t.re.MatchString(name):
		return t.re.ReplaceAllString(name, t.topic), true
	}
	return "", false
}

func newTopicMaker(route Route) (*topicMaker, error) {
	m := &topicMaker{route: route}
	for _, rule := range route.Rules.Map {
		t := topicRule{exact: rule.Match, topic: rule.Topic}
		if expr, ok := rule.Expression(); ok {
			re, err := regexp.Compile(expr)
			if err != nil {
				return nil, fmt.Errorf("compile rule %q of topicsMap: %w", rule.Match, err)
			}
			t.re = re
		}
		m.rules = append(m.rules, t)
	}
	if route.Rules.Template != "" {
		var err error
		if m.template, err = config.ParseTopicTemplate(route.Rules.Template); err != nil {
			return nil, fmt.Errorf("parse topicTemplate: %w", err)
		}
	}
	return m, nil
}

// fill sets the topics of the actions that pass, and stops those that have none. It
// is an error if the template makes no topic.
func (m *topicMaker) fill(p *outPlan, schema, table string) error {
	part, matched := m.matched(schema + "_" + table)
	for a := range p.pass {
		if !p.pass[a] {
			continue
		}
		if !matched {
			var err error
			part, err = m.unmatched(config.TopicNames{Database: m.route.Database, Schema: schema, Table: table, Action: publisher.Action(a).String()})
			if err != nil {
				return err
			}
			p.pass[a] = !m.route.Rules.DiscardUnmatched
		}
		p.topics[a] = m.full(part)
	}
	return nil
}

// matched returns what the first rule that matches makes of the name.
func (m *topicMaker) matched(name string) (part string, ok bool) {
	for i := range m.rules {
		if part, ok = m.rules[i].replace(name); ok {
			return part, true
		}
	}
	return "", false
}

// unmatched returns the table's part of the topic where no rule matches.
func (m *topicMaker) unmatched(names config.TopicNames) (string, error) {
	switch {
	case m.route.Rules.Fallback != "":
		return m.route.Rules.Fallback, nil
	case m.template == nil:
		return names.Schema + "_" + names.Table, nil
	}
	var b strings.Builder
	if err := m.template.Execute(&b, names); err != nil {
		return "", fmt.Errorf("make topic for %s of %s.%s: topicTemplate: %w", names.Action, names.Schema, names.Table, err)
	}
	part := strings.TrimSpace(b.String())
	if part == "" {
		return "", fmt.Errorf("make topic for %s of %s.%s: topicTemplate gives nothing: let it name a topic, "+
			"or give the table a rule in topicsMap, or exclude it", names.Action, names.Schema, names.Table)
	}
	return part, nil
}

// full returns the whole topic.
func (m *topicMaker) full(part string) string {
	topic := m.route.TopicPrefix + part
	if m.route.Topic != "" {
		topic = m.route.Topic + "." + topic
	}
	if m.route.Name != nil {
		topic = m.route.Name(topic)
	}
	return topic
}

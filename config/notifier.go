package config

import (
	"strings"
	"time"
)

// Notifier turns changes that a rule matches into webhooks and messages to people.
// Every destination is an output like a broker: the position waits for it.
type Notifier struct {
	// Window bounds the encoded notifications that are held in memory, divided
	// evenly among the destinations; Listener.Window is beside it.
	Window ByteSize `yaml:"window"`
	// Destinations are those that rules refer to by name.
	Destinations Destinations `yaml:"destinations"`
	// Rules say which changes go where.
	Rules   Rules   `yaml:"rules"`
	Parking Parking `yaml:"parking"`
}

// Rules is a list of rules; their order decides nothing but which one is named
// where several send the same change to one destination.
type Rules []Rule

// Rule selects changes and names where they go.
type Rule struct {
	// Name stands in logs, metrics and parked deliveries; empty means one made of
	// table, actions and place. See Config.Notifications.
	Name string `yaml:"name"`
	// Topic is compared with the table's part of the topic, as the listener's
	// topicsMap makes it: a name, one with * for anything, or a regular expression
	// between slashes. Empty means any.
	Topic string `yaml:"topic"`
	// Table is "table", "schema.table" or "*", which with empty means any.
	Table string `yaml:"table"`
	// OpType lists the actions: insert, update, delete, truncate or "*", which with
	// empty means every one. Load writes them in lower case. In YAML: one or a list.
	OpType []string `yaml:"op_type" alias:"opType"`
	// Conditions must all hold.
	Conditions Conditions `yaml:"conditions"`
	// When is an expression over old, new, action, table, schema and topic that must
	// be true. It goes in the place of Conditions.
	When string `yaml:"when"`
	// Destination is where the changes go: the name of one of
	// Notifier.Destinations, or one written out. Destinations are several of these.
	Destination  *DestinationRef `yaml:"destination"`
	Destinations DestinationRefs `yaml:"destinations"`
}

// Conditions must all hold.
type Conditions []Condition

// Condition looks at one column. Values are compared as the text PostgreSQL
// writes. Old and new are the row before and after the change; what is not old
// looks at the new row, and at the old one for a DELETE. All keys that are set
// must hold. A value that the log does not hold matches nothing.
type Condition struct {
	Field string `yaml:"field"`
	// OldValue and NewValue are values of the old and the new row; nil means any.
	OldValue *string `yaml:"old_value" alias:"oldValue"`
	NewValue *string `yaml:"new_value" alias:"newValue"`
	// Changed asks for old and new values that differ (true) or do not (false).
	Changed *bool `yaml:"changed"`
	// In lists values of which it must be one, Not values that it must not be.
	In  []string `yaml:"in"`
	Not []string `yaml:"not"`
	// GT and LT are bounds the value must be above and below: as numbers where
	// both are, else as text.
	GT *string `yaml:"gt"`
	LT *string `yaml:"lt"`
	// Regex is a regular expression (package regexp) that must match in the value.
	Regex string `yaml:"regex"`
	// IsNull asks for NULL (true) or anything else (false).
	IsNull *bool `yaml:"is_null" alias:"isNull"`
}

// DestinationRef is a destination written out in a rule, or the name of one.
type DestinationRef struct {
	// Ref is the name; empty if the destination is written out.
	Ref string
	Destination
}

// DestinationRefs are several of them.
type DestinationRefs []DestinationRef

// Destinations is a list of destinations.
type Destinations []Destination

// The kinds of destinations.
const (
	DestinationWebhook  = "webhook"
	DestinationSlack    = "slack"
	DestinationTelegram = "telegram"
)

// Destination is where notifications go, and how.
type Destination struct {
	// Name is the output's name in logs, metrics, /ready and parked deliveries.
	// Empty, in a rule, means one made of the rule's name and Type.
	Name string `yaml:"name"`
	// Type is one of the Destination constants.
	Type string `yaml:"type"`
	// URL is the address; it often holds a token. For slack with a Token it is
	// https://slack.com/api/chat.postMessage and for telegram with one
	// https://api.telegram.org unless it is set.
	URL Secret `yaml:"url"`
	// Method is the HTTP method of a webhook.
	Method string `yaml:"method"`
	// Headers are sent with every request; for telegram, chat_id may stand here.
	Headers map[string]Secret `yaml:"headers"`
	// Token is a bot's: of Slack (chat.postMessage) or Telegram.
	Token Secret `yaml:"token"`
	// Channel is a Slack channel, ChatID a Telegram chat.
	Channel string `yaml:"channel"`
	ChatID  string `yaml:"chatId" alias:"chat_id"`
	// Envelope and CloudEvents are those of a Publisher (type webhook).
	Envelope    string `yaml:"envelope"`
	CloudEvents string `yaml:"cloudEvents"`
	// Template makes the text of a message, or the body of a webhook (package
	// text/template). Blocks makes Slack's Block Kit blocks, a JSON array.
	Template string `yaml:"template"`
	Blocks   string `yaml:"blocks"`
	// SigningSecrets sign webhooks (Standard Webhooks), the first one first. A
	// receiver accepts any of them, so they can be changed one after another.
	SigningSecrets []Secret `yaml:"signingSecrets"`
	// Timeout bounds one request.
	Timeout time.Duration `yaml:"timeout"`
	// CACert, ClientCert and ClientKey are PEM files.
	CACert     string `yaml:"caCert"`
	ClientCert string `yaml:"clientCert"`
	ClientKey  string `yaml:"clientKey"`
	// AllowPrivate lets private, loopback and link-local addresses be called.
	AllowPrivate bool `yaml:"allowPrivate"`
	// Concurrency is how many requests are under way at once.
	Concurrency int `yaml:"concurrency"`
	// Order is OrderKey or OrderNone.
	Order string `yaml:"order"`
	// Rate bounds requests in a second; 0 means the kind's own (1 for slack and
	// telegram, none for webhook).
	Rate float64 `yaml:"rate"`
	// Batch is how many events a webhook request holds at most; above 1 the body is
	// a JSON array.
	Batch int `yaml:"batch"`
	// Coalesce sends at most one notification of a key in this time, the last one.
	Coalesce time.Duration `yaml:"coalesce"`
	// MaxAttempts is how often a delivery is tried in line, Backoff the pauses
	// between, whose last one is repeated; TimeBudget bounds all of it, from the
	// first attempt on.
	MaxAttempts int             `yaml:"maxAttempts"`
	Backoff     []time.Duration `yaml:"backoff"`
	TimeBudget  time.Duration   `yaml:"timeBudget"`
	// MaxWait is how long a notification may wait for its turn before it counts as
	// failed; 0 means for ever. It is a minute for slack and telegram by default.
	MaxWait *time.Duration `yaml:"maxWait"`
	// OnFailure is one of the OnFailure constants.
	OnFailure string  `yaml:"onFailure"`
	Circuit   Circuit `yaml:"circuit"`
}

// Chat returns the Telegram chat: ChatID, or chat_id of Headers in any case, where
// setu has it; empty if there is none.
func (d *Destination) Chat() string {
	if d.ChatID != "" {
		return d.ChatID
	}
	return d.Headers[d.chatHeader()].Reveal()
}

// PerSecond returns how many requests may begin in a second: Rate, or the kind's
// own, which is 1 for Slack ("Rate limits": one message a second and channel) and
// for Telegram ("Bots FAQ": one message a second and chat). 0 means no bound.
func (d *Destination) PerSecond() float64 {
	if d.Rate == 0 && d.toPeople() {
		return 1
	}
	return d.Rate
}

// Wait returns how long a notification may wait for its turn: MaxWait, or the
// kind's own, which is a minute for messages to people. 0 means for ever.
func (d *Destination) Wait() time.Duration {
	switch {
	case d.MaxWait != nil:
		return *d.MaxWait
	case d.toPeople():
		return time.Minute
	}
	return 0
}

// toPeople reports whether notifications are messages to people.
func (d *Destination) toPeople() bool {
	return d.Type == DestinationSlack || d.Type == DestinationTelegram
}

// What is kept in order at a destination: the changes of a row key, or nothing.
const (
	OrderKey  = "key"
	OrderNone = "none"
)

// What happens to a notification that could not be delivered in line.
const (
	OnFailurePark = "park"
	OnFailureHold = "hold"
	OnFailureDrop = "drop"
)

// Circuit says when a destination is taken for down.
type Circuit struct {
	// Failures is how many deliveries in a row must fail, each with all its attempts;
	// 0 means never.
	Failures int `yaml:"failures"`
	// OpenFor is how long nothing is tried then.
	OpenFor time.Duration `yaml:"openFor"`
}

// Parking is where notifications are kept that could not be delivered.
type Parking struct {
	// Store is StoreTable, a table in Listener.Schema, or StoreTopic.
	Store string `yaml:"store"`
	// Publisher is the name of the publisher whose Topic StoreTopic uses.
	Publisher string `yaml:"publisher"`
	Topic     string `yaml:"topic"`
	// Schedule is how long after it was parked, and then after each attempt that
	// failed, a delivery is tried again (StoreTable). After the last one it waits
	// for somebody. Empty means it always does.
	Schedule []time.Duration `yaml:"schedule"`
	// MaxAge is when a parked delivery is given up, counted and logged; 0 means
	// never.
	MaxAge time.Duration `yaml:"maxAge"`
}

// Where parked deliveries are kept.
const (
	StoreTable = "table"
	StoreTopic = "topic"
)

// Secrets says what ${name} stands for in secrets and in the notifier's
// destinations.
type Secrets struct {
	// File is a YAML mapping of names to texts. Empty means channels-env.yml beside
	// the configuration, if that exists.
	File string `yaml:"file"`
	// Lenient leaves a name that nothing resolves as it stands, with a warning.
	Lenient bool `yaml:"lenient"`
}

// lower writes the values of fixed sets in lower case, and methods, which HTTP
// tells apart by case, in upper.
func (n *Notifier) lower() {
	n.Parking.Store = strings.ToLower(n.Parking.Store)
	for i := range n.Destinations {
		n.Destinations[i].lower()
	}
	for i := range n.Rules {
		n.Rules[i].lower()
	}
}

func (r *Rule) lower() {
	for i := range r.OpType {
		r.OpType[i] = strings.ToLower(r.OpType[i])
	}
	if r.Destination != nil {
		r.Destination.lower()
	}
	for i := range r.Destinations {
		r.Destinations[i].lower()
	}
}

func (d *Destination) lower() {
	for _, s := range []*string{&d.Type, &d.Order, &d.OnFailure, &d.Envelope, &d.CloudEvents} {
		*s = strings.ToLower(*s)
	}
	d.Method = strings.ToUpper(d.Method)
}

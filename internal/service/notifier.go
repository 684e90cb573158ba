package service

import (
	"context"
	"fmt"

	"golang.org/x/time/rate"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/listener"
	"github.com/walherald/walherald/metrics"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/format"
	"github.com/walherald/walherald/publisher/notifier"
	"github.com/walherald/walherald/publisher/notifier/rules"
	"github.com/walherald/walherald/publisher/notifier/slack"
	"github.com/walherald/walherald/publisher/notifier/telegram"
	"github.com/walherald/walherald/publisher/notifier/webhook"
)

// notificationBatch is how many notifications a destination gets at once. A
// request takes as long as thousands of messages to a broker, and the position
// moves with each batch.
const notificationBatch = 1024

// maxBatch returns how many notifications a destination gets at once. One that
// coalesces takes a batch in each interval, and reading waits for what is in no batch,
// so that gets as many as there can be.
func maxBatch(d *config.Destination) int {
	if d.Coalesce > 0 {
		return 0
	}
	return notificationBatch
}

// minNotificationWindow holds at least a few notifications of common size.
const minNotificationWindow = 64 << 10

// destinations makes an output of every destination of the notifier.
func (s *service) destinations(ctx context.Context) ([]listener.Output, error) {
	all := s.cfg.Notifications()
	if len(all) == 0 {
		return nil, nil
	}
	store, err := s.store(ctx, all)
	if err != nil {
		return nil, err
	}
	limits := newLimits()
	var outs []listener.Output
	for _, n := range all {
		sender, err := newSender(s.cfg, n)
		if err != nil {
			return nil, err
		}
		o := notifier.Options{
			Config: n, Sender: sender, Limits: limits.of(&n.Destination), Log: s.log,
			Metrics: s.met.Destination(n.Name), Health: s.health.Component(n.Name),
			Active: func() bool { return s.health.Report().Status != metrics.StatusStandby },
			Failed: func(reason string) { s.sight.failed(n.Name, reason) },
		}
		if n.OnFailure == config.OnFailurePark {
			o.Store = store
		}
		d := notifier.New(o)
		s.open = append(s.open, &output{deliverer: d})
		s.made.Lock()
		s.destined = append(s.destined, &destined{Destination: d, name: n.Name, kind: n.Type, met: o.Metrics})
		s.made.Unlock()
		selection, err := s.selection(s.cfg, n, d)
		if err != nil {
			return nil, err
		}
		s.beside = append(s.beside, d.Run)
		outs = append(outs, listener.Output{
			Name: n.Name, Route: notificationRoute(s.cfg, n, selection), Deliverer: publisher.Trace(publisher.Retry(d, 0, s.retryHooks(n.Name)), s.tracer, n.Name, n.Type),
			Window: max(int(s.cfg.Notifier.Window)/len(all), minNotificationWindow), MaxBatch: maxBatch(&n.Destination),
		})
	}
	return outs, nil
}

// destined is a destination of notifications and what is shown of it.
type destined struct {
	*notifier.Destination
	name, kind string
	met        *metrics.Destination
}

// notificationRoute is what a destination's events are routed by. Its own rules alone
// decide what goes there, so listener.discardUnmatched does not.
func notificationRoute(cfg *config.Config, n config.Notification, sel selectFunc) listener.Route {
	topics := cfg.Listener.TopicRules()
	topics.DiscardUnmatched = false
	return listener.Route{Section: n.Section, Rules: topics, Database: cfg.Database.Name, Tags: cfg.Tags, Select: sel}
}

// selectFunc is the type of listener.Route.Select.
type selectFunc = func(t *publisher.Table, tags map[string]string, topic func(publisher.Action) string) listener.Selection

// selection makes the selection of the rules of a destination that runs.
func (s *service) selection(cfg *config.Config, n config.Notification, d *notifier.Destination) (selectFunc, error) {
	set, err := rules.New(n.Rules, s.blind)
	if err != nil {
		return nil, err
	}
	envelope, _, err := payload(cfg, n)
	if err != nil {
		return nil, err
	}
	selector := d.Selector(n.Rules, set, envelope)
	return func(t *publisher.Table, tags map[string]string, topic func(publisher.Action) string) listener.Selection {
		return selector.Select(t, tags, topic)
	}, nil
}

// blind tells, once, that a rule asks for what the log does not hold. Rules say so of
// each version of a table, and a TRUNCATE or a new connection makes one.
func (s *service) blind(rule, table, column string) {
	if _, told := s.blinded.LoadOrStore([3]string{rule, table, column}, true); told {
		return
	}
	s.log.Warn("rule asks for a column that the log does not hold, and matches nothing there: "+
		"give the table the replica identity full if it is about the old row", "rule", rule, "table", table, "column", column)
}

// payload makes the envelope of what a destination's sender is given.
func payload(cfg *config.Config, n config.Notification) (format.Envelope, publisher.Content, error) {
	o := format.Options{Envelope: n.Envelope, CloudEvents: n.CloudEvents, Source: sourceOf(cfg)}
	if n.Type != config.DestinationWebhook || n.Template != "" {
		o.Envelope, o.CloudEvents = format.EnvelopeWalherald, format.CloudEventsStructured // which templates read
	}
	e, content, err := format.New(o)
	if err != nil {
		return nil, content, fmt.Errorf("%s: %w", n.Section, err)
	}
	return e, content, nil
}

// newSender makes the sender of a destination.
func newSender(cfg *config.Config, n config.Notification) (notifier.Sender, error) {
	_, content, err := payload(cfg, n)
	if err != nil {
		return nil, err
	}
	switch n.Type {
	case config.DestinationSlack:
		return slack.New(n)
	case config.DestinationTelegram:
		return telegram.New(n)
	}
	return webhook.New(n, content)
}

// limits are the limits of all destinations: those that send to the same place
// share one.
type limits map[string]*rate.Limiter

func newLimits() limits { return make(limits) }

// telegramBot is how many messages in a second a bot may send to all its chats
// together (Telegram, "Bots FAQ").
const telegramBot = 30

// of returns the limits of a destination.
func (l limits) of(d *config.Destination) []*rate.Limiter {
	var all []*rate.Limiter
	perSecond := d.PerSecond()
	if perSecond > 0 {
		all = append(all, l.limit(d.Type+"\x00"+d.URL.Reveal()+"\x00"+d.Token.Reveal()+"\x00"+d.Channel+"\x00"+d.Chat(), perSecond))
	}
	if d.Type == config.DestinationTelegram {
		all = append(all, l.limit("bot\x00"+d.URL.Reveal()+"\x00"+d.Token.Reveal(), telegramBot))
	}
	return all
}

// limit returns the limit of a place; the lowest counts where several are given.
func (l limits) limit(place string, perSecond float64) *rate.Limiter {
	known := l[place]
	if known == nil {
		known = rate.NewLimiter(rate.Limit(perSecond), 1)
		l[place] = known
	}
	known.SetLimit(min(known.Limit(), rate.Limit(perSecond)))
	return known
}

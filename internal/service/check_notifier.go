package service

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/listener"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/notifier/httpsend"
	"github.com/walherald/walherald/publisher/notifier/parking"
)

const (
	// probeTotal bounds the probes of all destinations.
	probeTotal = 20 * time.Second
	// askTime bounds what is asked of one of them.
	askTime = 5 * time.Second
	// probesAtOnce is how many are made at once.
	probesAtOnce = 16
)

// notifierCheck is what a Check has to say of the notifier.
type notifierCheck struct {
	config.Findings
	cfg *config.Config
	all []config.Notification
	// tables are what the listener's check found published, if known is set.
	tables []listener.Published
	known  bool
}

func newNotifierCheck(cfg *config.Config) *notifierCheck {
	return &notifierCheck{cfg: cfg, all: cfg.Notifications()}
}

// routes returns what the listener's check has to look at: one route, as those of all
// destinations are alike.
func (c *notifierCheck) routes() []listener.Route {
	if len(c.all) == 0 {
		return nil
	}
	r := notificationRoute(c.cfg, c.all[0], nil)
	r.Inspect = func(tables []listener.Published) { c.tables, c.known = tables, true }
	return []listener.Route{r}
}

// look looks at rules, destinations and parking, once the listener's check has ended.
func (c *notifierCheck) look(ctx context.Context) config.Findings {
	c.rules()
	c.unused()
	found := make([]config.Findings, len(c.all)+1)
	ctx, cancel := context.WithTimeout(ctx, probeTotal)
	defer cancel()
	var probes errgroup.Group
	probes.SetLimit(probesAtOnce)
	probes.Go(func() error {
		found[len(c.all)] = c.parking(ctx)
		return nil
	})
	for i := range c.all {
		probes.Go(func() error {
			found[i] = c.destination(ctx, c.all[i])
			return nil
		})
	}
	_ = probes.Wait() // findings are all that comes of them
	return append(c.Findings, slices.Concat(found...)...)
}

// unused warns of destinations that no rule names.
func (c *notifierCheck) unused() {
	for i, d := range c.cfg.Notifier.Destinations {
		if !slices.ContainsFunc(c.all, func(n config.Notification) bool { return n.Name == d.Name }) {
			c.Warn(fmt.Sprintf("notifier.destinations[%d]", i), "let a rule send to it, or remove it", "no rule sends to destination %s", d.Name)
		}
	}
}

// destination tries whether notifications could be made and sent, without sending one.
func (c *notifierCheck) destination(ctx context.Context, n config.Notification) (found config.Findings) {
	sender, err := newSender(c.cfg, n)
	if err != nil {
		path, what := pathOf(n.Section, err)
		found.Fail(path, remedyFor(path), "destination %s cannot be used: %s", n.Name, what)
	} else {
		defer func() { _ = sender.Close() }() // which nothing was sent with
	}
	client, err := httpsend.For(&n.Destination)
	if err != nil {
		return found // which the sender has told
	}
	defer client.Close()
	address := addressOf(&n.Destination)
	u, err := url.Parse(address)
	if err != nil {
		return found // as well
	}
	if err := client.Probe(ctx, address); err != nil {
		return append(found, unreachable(&n, err))
	}
	encryption := "without TLS"
	if u.Scheme == "https" {
		encryption = "with TLS"
	}
	found.OK(n.Section, "destination %s: connected to %s %s, no notification sent", n.Name, u.Host, encryption)
	if asked, ok := sender.(asker); ok {
		found = append(found, ask(ctx, &n, asked)...)
	}
	return found
}

// asker is a sender that can ask for its rights without sending anything.
type asker interface {
	// Check returns who we are there; empty if nothing could be asked.
	Check(ctx context.Context) (who string, err error)
}

// ask finds out whether a destination knows us.
func ask(ctx context.Context, n *config.Notification, sender asker) (found config.Findings) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	who, err := sender.Check(ctx)
	switch {
	case publisher.IsPermanent(err):
		found.Fail(n.Section, "correct its token, channel or chat", "destination %s: %v", n.Name, err)
	case err != nil:
		found.Warn(n.Section, "run the check again", "destination %s: %v", n.Name, err)
	case who != "":
		found.OK(n.Section, "destination %s: %s knows us as %s", n.Name, n.Type, who)
	}
	return found
}

// unreachable is the finding for a destination that cannot be called. walherald starts
// all the same and parks or drops what it cannot deliver; it is an error where time
// mends nothing, or where the position would be held.
func unreachable(n *config.Notification, err error) config.Finding {
	what, _, _ := strings.Cut(err.Error(), "; if that is meant")
	f := config.Finding{
		Severity: config.FindingWarning, Path: n.Section, What: fmt.Sprintf("destination %s: %s", n.Name, what),
		Remedy: "correct its url, or see to it that it can be called from here; until then " + meanwhile[n.OnFailure],
	}
	switch {
	case publisher.IsPermanent(err):
		f.Severity = config.FindingError
		f.Remedy = "correct its url; or set allowPrivate: true there, if an address that is not of the public internet is meant"
	case n.OnFailure == config.OnFailureHold:
		f.Severity = config.FindingError
	}
	return f
}

// meanwhile says what becomes of notifications that cannot be delivered.
var meanwhile = map[string]string{
	config.OnFailurePark: "its notifications are parked",
	config.OnFailureHold: "its notifications hold the position, and the server keeps its log",
	config.OnFailureDrop: "its notifications are dropped",
}

// addressOf is what a destination calls.
func addressOf(d *config.Destination) string {
	switch {
	case d.URL != "":
		return d.URL.Reveal()
	case d.Type == config.DestinationSlack:
		return "https://slack.com"
	case d.Type == config.DestinationTelegram:
		return "https://api.telegram.org"
	}
	return ""
}

// pathOf returns the path that the error of a sender names, which is one below the
// section, and the error without the section.
func pathOf(section string, err error) (path, what string) {
	what = err.Error()
	for strings.HasPrefix(what, section+": ") {
		what = what[len(section)+2:]
	}
	path = section
	if _, key, ok := strings.Cut(what, section+"."); ok {
		if end := strings.IndexAny(key, ": "); end > 0 {
			path += "." + key[:end]
		}
	}
	return path, strings.ReplaceAll(what, section+".", "")
}

// remedyFor says what to do about a key of a destination.
func remedyFor(path string) string {
	switch path[strings.LastIndexByte(path, '.')+1:] {
	case "caCert", "clientCert", "clientKey":
		return "name PEM files that this user can read"
	case "template", "blocks":
		return "correct it; docs/messages.md says what a template knows"
	}
	return "correct it"
}

// parking looks at the table of what is parked, if there is to be one. That a topic
// can be written to is found out of its publisher.
func (c *notifierCheck) parking(ctx context.Context) config.Findings {
	if !anyParks(c.all) || c.cfg.Notifier.Parking.Store == config.StoreTopic {
		return nil
	}
	table, err := openTable(c.cfg)
	if err != nil {
		var found config.Findings
		found.Fail("notifier.parking", "mend what is found of database", "%v", errors.Unwrap(err))
		return found
	}
	defer table.Close()
	around := parking.Around{Slot: c.cfg.Listener.SlotName, Publications: []string{"walherald", "wal-listener", c.cfg.Listener.Publication.Name}}
	for _, n := range c.all {
		around.Destinations = append(around.Destinations, n.Name)
	}
	return table.Check(ctx, around)
}

package service

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/listener"
)

// Check looks for what would keep a service of this configuration from running
// and returns what it found, good and bad. It asks the database, outputs and
// destinations, changes nothing in them and ends within about a minute. No
// finding holds a secret.
func Check(ctx context.Context, cfg *config.Config) []config.Finding {
	var found []config.Finding
	for _, w := range cfg.Warnings() {
		found = append(found, config.Finding{Severity: config.FindingWarning, Path: "environment", What: w, Remedy: "correct or unset it"})
	}
	outs, notified := cfg.Outputs(), newNotifierCheck(cfg)
	found = append(found, listener.Check(ctx, cfg.Listener, cfg.Database, append(routes(cfg, outs), notified.routes()...)...)...)
	for _, out := range outs {
		found = append(found, checkOutput(ctx, cfg, out)...)
	}
	found = append(found, notified.look(ctx)...)
	if cfg.Listener.ServerPort != 0 {
		found = append(found, checkListen("listener.serverPort", probeAddr(cfg.Listener.ServerPort)))
	}
	if cfg.Monitoring.PromAddr != "" {
		found = append(found, checkListen("monitoring.promAddr", cfg.Monitoring.PromAddr))
	}
	return found
}

// checkOutput checks one output. Findings name keys below publisher; here they
// get the path of the output's own section.
func checkOutput(ctx context.Context, cfg *config.Config, out config.Output) []config.Finding {
	var found []config.Finding
	switch out.Type {
	case config.PublisherNATS:
		found = checkNATS(ctx, out, topics(cfg, out))
	case config.PublisherKafka:
		found = checkKafka(ctx, out, topics(cfg, out))
	case config.PublisherRabbitMQ:
		found = checkRabbitMQ(ctx, out, topics(cfg, out))
	case config.PublisherPubSub:
		found = checkPubSub(ctx, out, topics(cfg, out))
	case config.PublisherFile:
		found = []config.Finding{checkFolder("publisher.path", filepath.Dir(out.Path))}
	case config.PublisherStdout, config.PublisherDiscard:
		found = []config.Finding{{Path: "publisher.type", What: "output is " + out.Type + ", which needs nothing"}}
	default:
		found = []config.Finding{unusable(unavailable(out))}
	}
	for i := range found {
		if rest, ok := strings.CutPrefix(found[i].Path, "publisher"); ok {
			found[i].Path = out.Section + rest
		}
	}
	return found
}

// unusable is the finding for an output that cannot even be made: err begins with
// the path, and is about its type or a file that it names.
func unusable(err error) config.Finding {
	path, what, found := strings.Cut(err.Error(), ": ")
	if !found {
		path, what = "publisher", err.Error()
	}
	what, kinds, unknown := strings.Cut(what, ": use ")
	remedy := "name a PEM file that this user can read"
	if unknown {
		remedy = "use " + kinds
	}
	return config.Finding{Severity: config.FindingError, Path: path, What: what, Remedy: remedy}
}

// group is a reference to a group in the topic of a rule with an expression.
var group = regexp.MustCompile(`\$(\{\w+\}|\w+)`)

// routes are those of all outputs, as far as a check looks at them.
func routes(cfg *config.Config, outs []config.Output) []listener.Route {
	var all []listener.Route
	for _, out := range outs {
		all = append(all, route(cfg, out))
	}
	return all
}

// topics returns patterns of the topics an output publishes to: a table's own
// name, and what a rule makes of one, stand as *.
func topics(cfg *config.Config, out config.Output) []string {
	prefix := out.Topic + "." + out.TopicPrefix
	patterns := []string{pattern(prefix + "*")}
	for _, rule := range out.TopicRules(&cfg.Listener).Map {
		topic := rule.Topic
		if _, ok := rule.Expression(); ok {
			topic = group.ReplaceAllString(topic, "*")
		}
		patterns = append(patterns, pattern(prefix+topic))
	}
	return patterns
}

// pattern makes every token that holds a * one.
func pattern(subject string) string {
	tokens := strings.Split(subject, ".")
	for i, token := range tokens {
		if strings.Contains(token, "*") {
			tokens[i] = "*"
		}
	}
	return strings.Join(tokens, ".")
}

// checkListen tries whether an address can be listened on.
func checkListen(path, address string) config.Finding {
	l, err := net.Listen("tcp", address)
	if err == nil {
		err = l.Close()
	}
	if err != nil {
		return config.Finding{
			Severity: config.FindingError, Path: path, What: fmt.Sprintf("cannot listen on %s: %v", address, errors.Unwrap(err)),
			Remedy: "stop what listens there, which may be walherald itself, or choose another address",
		}
	}
	return config.Finding{Path: path, What: "can listen on " + address}
}

// checkStore tries whether the embedded server could keep its streams in dir.
func checkStore(dir string) config.Finding {
	return checkFolder("publisher.embedded.storeDir", filepath.Join(dir, "jetstream")) // which the server makes there
}

// checkFolder tries whether dir can be written to. Where it does not exist yet,
// the nearest folder above counts.
func checkFolder(path, dir string) config.Finding {
	at, err := nearestFolder(dir)
	if err == nil {
		err = tryWrite(at)
	}
	if err != nil {
		return config.Finding{
			Severity: config.FindingError, Path: path, What: fmt.Sprintf("cannot write to %s: %v", dir, err),
			Remedy: "make it a folder that this user can write to, or choose another",
		}
	}
	return config.Finding{Path: path, What: "can write to " + dir}
}

func nearestFolder(path string) (string, error) {
	for {
		info, err := os.Stat(path)
		switch {
		case err == nil && !info.IsDir():
			return "", fmt.Errorf("%s is no folder", path)
		case err == nil:
			return path, nil
		case !errors.Is(err, fs.ErrNotExist) || path == filepath.Dir(path):
			return "", err
		}
		path = filepath.Dir(path)
	}
}

// tryWrite writes a file into dir and takes it away again.
func tryWrite(dir string) error {
	f, err := os.CreateTemp(dir, ".walherald-check-*")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

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
	"github.com/walherald/walherald/publisher/nats"
)

// Check looks for what would keep a service of this configuration from running
// and returns what it found, good and bad. It asks the database and the output,
// changes nothing in either and ends within about a minute. No finding holds a
// secret.
func Check(ctx context.Context, cfg *config.Config) []config.Finding {
	var found []config.Finding
	for _, w := range cfg.Warnings() {
		found = append(found, config.Finding{Severity: config.FindingWarning, Path: "environment", What: w, Remedy: "correct or unset it"})
	}
	found = append(found, listener.Check(ctx, cfg.Listener, cfg.Database, cfg.Publisher.MessageKeyFrom...)...)
	found = append(found, checkOutput(ctx, cfg)...)
	if cfg.Listener.ServerPort != 0 {
		found = append(found, checkListen("listener.serverPort", probeAddr(cfg.Listener.ServerPort)))
	}
	if cfg.Monitoring.PromAddr != "" {
		found = append(found, checkListen("monitoring.promAddr", cfg.Monitoring.PromAddr))
	}
	return found
}

func checkOutput(ctx context.Context, cfg *config.Config) []config.Finding {
	switch pub := cfg.Publisher; {
	case pub.Type == config.PublisherStdout, pub.Type == config.PublisherDiscard:
		return []config.Finding{{Path: "publisher.type", What: "output is " + pub.Type + ", which needs nothing"}}
	case pub.Type != config.PublisherNATS:
		what, remedy, _ := strings.Cut(strings.TrimPrefix(unavailable(pub.Type).Error(), "publisher.type: "), ": ")
		return []config.Finding{{Severity: config.FindingError, Path: "publisher.type", What: what, Remedy: remedy}}
	case pub.Embedded != nil:
		return []config.Finding{
			checkListen("publisher.embedded.listen", pub.Embedded.Listen),
			checkStore(pub.Embedded.StoreDir),
		}
	default:
		return checkNATS(ctx, cfg)
	}
}

func checkNATS(ctx context.Context, cfg *config.Config) []config.Finding {
	pub := cfg.Publisher
	nc := nats.Config{URLs: pub.Address, Topic: pub.Topic, SkipOversize: pub.Oversize == config.OversizeSkip}
	if pub.EnableTLS {
		var err error
		if nc.Options, err = natsTLS(pub); err != nil {
			return []config.Finding{{
				Severity: config.FindingError, Path: "publisher.enableTLS",
				What: err.Error(), Remedy: "name PEM files that this user can read",
			}}
		}
	}
	return nats.Check(ctx, nc, subjects(cfg)...)
}

// group is a reference to a group in the topic of a rule with an expression.
var group = regexp.MustCompile(`\$(\{\w+\}|\w+)`)

// subjects returns patterns of the NATS subjects this configuration publishes
// to: a table's own name, and what a rule makes of one, stand as *.
func subjects(cfg *config.Config) []string {
	prefix := cfg.Publisher.Topic + "." + cfg.Publisher.TopicPrefix
	patterns := []string{pattern(prefix + "*")}
	for _, rule := range cfg.Listener.TopicsMap {
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
// Where dir does not exist yet, the nearest folder above counts.
func checkStore(dir string) config.Finding {
	const path = "publisher.embedded.storeDir"
	at, err := nearestFolder(filepath.Join(dir, "jetstream")) // the folder the server makes there
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

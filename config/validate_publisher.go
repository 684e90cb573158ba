package config

import (
	"strings"
	"unicode"
)

func (ck *checker) publisher(p *Publisher) {
	if p.Type == "" {
		ck.required("publisher.type", p.Type)
	} else {
		ck.oneOf("publisher.type", p.Type, PublisherNATS, PublisherKafka, PublisherRabbitMQ,
			PublisherPubSub, PublisherStdout, PublisherDiscard)
	}
	ck.oneOf("publisher.exchangeKind", p.ExchangeKind, "fanout", "topic", "direct")
	ck.oneOf("publisher.oversize", p.Oversize, OversizeStop, OversizeSkip)
	ck.destination(p)
	if p.Embedded != nil {
		ck.embedded(p.Embedded)
	}
}

// destination checks that the type has what it needs to reach its topics.
func (ck *checker) destination(p *Publisher) {
	switch p.Type {
	case PublisherNATS, PublisherKafka, PublisherRabbitMQ, PublisherPubSub:
		ck.required("publisher.topic", p.Topic)
	}
	switch p.Type {
	case PublisherNATS:
		ck.when(len(p.Address) == 0 && p.Embedded == nil, "publisher.address",
			"is required for type nats; set it, or publisher.embedded to run without a broker")
		ck.when(len(p.Address) > 0 && p.Embedded != nil, "publisher.embedded",
			"runs a server inside walherald, so publisher.address would be ignored; remove one of them")
	case PublisherKafka, PublisherRabbitMQ:
		ck.when(len(p.Address) == 0, "publisher.address", "is required for type %s; set it in the file or as %s",
			p.Type, envName("publisher.address"))
	case PublisherPubSub:
		ck.required("publisher.pubSubProjectID", p.PubSubProjectID)
	}
	ck.when(p.Embedded != nil && p.Type != PublisherNATS, "publisher.embedded", "works with type nats only; remove it")
}

func (ck *checker) embedded(e *Embedded) {
	ck.hostPort("publisher.embedded.listen", e.Listen)
	ck.required("publisher.embedded.storeDir", e.StoreDir)
	ck.when(e.SyncInterval < 0, "publisher.embedded.syncInterval",
		"must not be negative; 0 means before every confirmation")
}

// publisherTLS refuses every TLS key that would have no effect: who set it
// believes in a protection that is not there.
func (ck *checker) publisherTLS(p *Publisher) {
	for _, option := range []struct{ path, value string }{
		{"publisher.clientCert", p.ClientCert},
		{"publisher.clientKey", p.ClientKey},
		{"publisher.caCert", p.CACert},
	} {
		ck.when(option.value != "" && !p.EnableTLS, option.path,
			"has no effect without TLS; set publisher.enableTLS or remove it")
	}
	ck.when(p.ClientCert != "" && p.ClientKey == "", "publisher.clientKey", "is required with clientCert")
	ck.when(p.ClientKey != "" && p.ClientCert == "", "publisher.clientCert", "is required with clientKey")
	ck.when(p.EnableTLS && p.Embedded != nil, "publisher.enableTLS", "has no effect with publisher.embedded, which speaks no TLS; remove it")
}

// subjects checks what NATS subjects are made of (NATS documentation, "Subject-
// Based Messaging"). The topic is the name of the stream, too, which is why it
// is one token without dots.
func (ck *checker) subjects(c *Config) {
	topic := c.Publisher.Topic
	ck.when(badSubject(topic) || strings.ContainsAny(topic, `./\`) || strings.HasPrefix(topic, "$"), "publisher.topic",
		`names a NATS stream: no blanks, no . * > / \ and no $ in front`)
	prefix := c.Publisher.TopicPrefix
	ck.when(badSubject(prefix) || strings.HasPrefix(prefix, ".") || strings.Contains(prefix, ".."), "publisher.topicPrefix",
		"is a part of a NATS subject: no blanks, no * or >, no empty token between dots")
	for _, rule := range c.Listener.TopicsMap {
		// What a group stands for is not known yet; a letter takes its place.
		t := rule.Topic
		if _, ok := rule.Expression(); ok {
			t = groups.ReplaceAllString(t, "x")
		}
		ck.when(badSubject(t) || strings.HasPrefix(t, ".") || strings.HasSuffix(t, ".") || strings.Contains(t, ".."),
			entry("listener.topicsMap", rule.Match), "the topic is a part of a NATS subject: no blanks, no * or >, no empty token between dots")
	}
}

// badSubject reports a character that no NATS subject can hold.
func badSubject(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool {
		return r == '*' || r == '>' || unicode.IsSpace(r) || unicode.IsControl(r)
	})
}

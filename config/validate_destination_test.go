package config

import (
	"math"
	"strings"
	"testing"
	"time"
)

// altered changes a copy of d.
func altered(d Destination, change func(*Destination)) Destination {
	change(&d)
	return d
}

func TestEveryRuleOfDestinationsIsReportedAtItsPath(t *testing.T) {
	set := func(d Destination, change func(d *Destination)) func(*Config) {
		return func(c *Config) { c.Notifier.Rules[0].Destination.Destination = altered(d, change) }
	}
	hook := func(change func(d *Destination)) func(*Config) { return set(webhook("orders"), change) }
	slack := func(change func(d *Destination)) func(*Config) { return set(toPerson(DestinationSlack), change) }
	telegram := func(change func(d *Destination)) func(*Config) { return set(toPerson(DestinationTelegram), change) }
	same := func(*Destination) {}
	signedBy := func(secret Secret) func(*Config) {
		return hook(func(d *Destination) { d.SigningSecrets = []Secret{secret} })
	}
	// In base64, 32 letters are 24 bytes.
	const at = "notifier.rules[0].destination."
	short, negative := strings.Repeat("A", 28), -time.Second
	checkCases(t, []problemCase{
		{"no type", hook(func(d *Destination) { d.Type = "" }), at + "type: is required: webhook, slack or telegram"},
		{"type misspelt", hook(func(d *Destination) { d.Type = "web-hook" }), at + `type: is none of webhook, slack, telegram; did you mean "webhook"?`},

		{"webhook without a url", hook(func(d *Destination) { d.URL = "" }), at + "url: is required for type webhook"},
		{"url of another scheme", hook(func(d *Destination) { d.URL = "ftp://hunter2" }), at + "url: must be an http or https URL with a host"},
		{"url without a scheme", hook(func(d *Destination) { d.URL = "example.org/hunter2" }), at + "url: must be an http"},
		{"url without a host", hook(func(d *Destination) { d.URL = "https:///hunter2" }), at + "url: must be an http"},
		{"url that does not parse", hook(func(d *Destination) { d.URL = "https://a/%zzhunter2" }), at + "url: must be an http"},
		{"url with a fragment", hook(func(d *Destination) { d.URL = "https://a/#hunter2" }), at + "url: has a fragment"},
		{"url that nothing resolved", func(c *Config) {
			c.Secrets.Lenient = true
			hook(func(d *Destination) { d.URL = "${URL}" })(c)
		}, ""},
		{"url that nothing resolved, strictly", hook(func(d *Destination) { d.URL = "${URL}" }), at + "url: must be an http"},
		{"plain url with authorities", hook(func(d *Destination) { d.URL, d.CACert = "http://a", "ca.pem" }), at + "caCert: has no effect with an http URL"},
		{"certificate without its key", hook(func(d *Destination) { d.ClientCert = "c" }), at + "clientKey: is required with clientCert"},
		{"key without its certificate", hook(func(d *Destination) { d.ClientKey = "c" }), at + "clientCert: is required with clientKey"},
		{"certificate", hook(func(d *Destination) { d.ClientCert, d.ClientKey, d.CACert = "a", "b", "c" }), ""},
		{"method", hook(func(d *Destination) { d.Method = "PUT" }), ""},
		{"method without a body", hook(func(d *Destination) { d.Method = "GET" }), at + "method: is none of POST, PUT, PATCH"},
		{"header", hook(func(d *Destination) { d.Headers = map[string]Secret{"X-Key": "hunter2"} }), ""},
		{"header that is no name", hook(func(d *Destination) { d.Headers = map[string]Secret{"X Key": "a"} }), at + "headers[X Key]: is no name of a header"},
		{"header of walherald", hook(func(d *Destination) { d.Headers = map[string]Secret{"Webhook-Id": "a"} }), at + "headers[Webhook-Id]: is a header that walherald sets"},
		{"header with a line break", hook(func(d *Destination) { d.Headers = map[string]Secret{"X-Key": "hunter2\n"} }), at + "headers[X-Key]: has a line break"},
		{"header twice", hook(func(d *Destination) { d.Headers = map[string]Secret{"X-Key": "a", "x-key": "b"} }), at + "headers[x-key]: is there in another case"},

		{"signed", signedBy(Secret(strings.Repeat("A", 32))), ""},
		{"signed with a prefix", signedBy(Secret("whsec_" + strings.Repeat("A", 32))), ""},
		{"signed with 64 bytes", signedBy(Secret(strings.Repeat("A", 84) + "AA==")), ""},
		{"signed with 23 bytes", signedBy(Secret(short + "AAA=")), at + "signingSecrets[0]: must be 24 to 64"},
		{"signed with 65 bytes", signedBy(Secret(strings.Repeat("A", 84) + "AAA=")), at + "signingSecrets[0]: must be 24 to 64"},
		{"signed with words", signedBy("hunter2 is no base64, but it is long enough"), at + "signingSecrets[0]: must be 24 to 64"},

		{"slack", slack(same), ""},
		{"slack by url", slack(func(d *Destination) { d.Token, d.URL = "", "https://a/hunter2" }), ""},
		{"slack without anything", slack(func(d *Destination) { d.Token = "" }), at + "url: is required for type slack, or token and channel"},
		{"slack token without a channel", slack(func(d *Destination) { d.Channel = "" }), at + "channel: is required with token"},
		{"slack with blocks", slack(func(d *Destination) { d.Blocks, d.Template = "[]", "x" }), ""},
		{"telegram", telegram(same), ""},
		{"telegram by url", telegram(func(d *Destination) { d.Token, d.URL = "", "https://a/hunter2" }), ""},
		{"telegram without anything", telegram(func(d *Destination) { d.Token = "" }), at + "token: is required for type telegram, or url"},
		{"telegram without a chat", telegram(func(d *Destination) { d.ChatID = "" }), at + "chatId: is required for type telegram"},
		{"telegram chat in headers", telegram(func(d *Destination) { d.ChatID, d.Headers = "", map[string]Secret{"Chat_ID": "1"} }), ""},
		{"telegram chat in both", telegram(func(d *Destination) { d.Headers = map[string]Secret{"chat_id": "1"} }), at + "chatId: is in headers too"},

		{"slack with a method", slack(func(d *Destination) { d.Method = "PUT" }), at + "method: works with type webhook only; remove it"},
		{"slack with an envelope", slack(func(d *Destination) { d.Envelope = "setu" }), at + "envelope: works with type webhook only"},
		{"slack with cloudEvents", slack(func(d *Destination) { d.CloudEvents = "binary" }), at + "cloudEvents: works with type webhook only"},
		{"telegram signed", telegram(func(d *Destination) { d.SigningSecrets = []Secret{Secret(strings.Repeat("A", 32))} }), at + "signingSecrets: works with type webhook only"},
		{"telegram in batches", telegram(func(d *Destination) { d.Batch = 2 }), at + "batch: works with type webhook only"},
		{"webhook with blocks", hook(func(d *Destination) { d.Blocks = "[]" }), at + "blocks: works with type slack only"},
		{"webhook with a channel", hook(func(d *Destination) { d.Channel = "c" }), at + "channel: works with type slack only"},
		{"slack with a chat", slack(func(d *Destination) { d.ChatID = "1" }), at + "chatId: works with type telegram only"},
		{"webhook with a token", hook(func(d *Destination) { d.Token = "hunter2" }), at + "token: works with type slack or telegram only"},

		{"envelope", hook(func(d *Destination) { d.Envelope = "avro" }), at + "envelope: is none of walherald"},
		{"binary", hook(func(d *Destination) { d.Envelope, d.CloudEvents = "cloudevents", "binary" }), ""},
		{"binary of another envelope", hook(func(d *Destination) { d.CloudEvents = "binary" }), at + "cloudEvents: works with envelope cloudevents only"},
		{"template", hook(func(d *Destination) { d.Template = "x" }), ""},
		{"template and envelope", hook(func(d *Destination) { d.Template, d.Envelope = "x", "setu" }), at + "template: makes the body"},
		{"batch", hook(func(d *Destination) { d.Batch = 1000 }), ""},
		{"batch of none", hook(func(d *Destination) { d.Batch = 0 }), at + "batch: must be 1 to 1000"},
		{"large batch", hook(func(d *Destination) { d.Batch = 1001 }), at + "batch: must be 1 to 1000"},
		{"batch by a template", hook(func(d *Destination) { d.Batch, d.Template = 2, "x" }), at + "batch: makes bodies of several events, and a template"},
		{"binary batch", hook(func(d *Destination) { d.Batch, d.Envelope, d.CloudEvents = 2, "cloudevents", "binary" }), at + "batch: makes bodies of several events, whose attributes"},

		{"timeout", hook(func(d *Destination) { d.Timeout = 0 }), at + "timeout: must be longer than 0"},
		{"concurrency", hook(func(d *Destination) { d.Concurrency = 1024 }), ""},
		{"no concurrency", hook(func(d *Destination) { d.Concurrency = 0 }), at + "concurrency: must be 1 to 1024"},
		{"much concurrency", hook(func(d *Destination) { d.Concurrency = 1025 }), at + "concurrency: must be 1 to 1024"},
		{"order", hook(func(d *Destination) { d.Order = "keys" }), at + `order: is none of key, none; did you mean "key"?`},
		{"rate", hook(func(d *Destination) { d.Rate = 0.5 }), ""},
		{"negative rate", hook(func(d *Destination) { d.Rate = -1 }), at + "rate: must not be negative"},
		{"no number as rate", hook(func(d *Destination) { d.Rate = math.NaN() }), at + "rate: must not be negative"},
		{"coalesce", slack(func(d *Destination) { d.Coalesce = time.Minute }), ""},
		{"negative coalesce", hook(func(d *Destination) { d.Coalesce = -1 }), at + "coalesce: must not be negative"},
		{"circuit", hook(func(d *Destination) { d.Circuit.Failures = -1 }), at + "circuit.failures: must not be negative"},
		{"circuit without a time", hook(func(d *Destination) { d.Circuit.OpenFor = 0 }), at + "circuit.openFor: must be longer than 0"},
		{"no circuit", hook(func(d *Destination) { d.Circuit = Circuit{} }), ""},

		{"no attempt", hook(func(d *Destination) { d.MaxAttempts = 0 }), at + "maxAttempts: must be 1 to 100"},
		{"many attempts", hook(func(d *Destination) { d.MaxAttempts = 101 }), at + "maxAttempts: must be 1 to 100"},
		{"no pause", hook(func(d *Destination) { d.Backoff = nil }), at + "backoff: is empty"},
		{"one attempt", hook(func(d *Destination) { d.MaxAttempts, d.Backoff = 1, nil }), ""},
		{"negative pause", hook(func(d *Destination) { d.Backoff = []time.Duration{0, -1} }), at + "backoff[1]: must not be negative"},
		{"time budget", hook(func(d *Destination) { d.TimeBudget = 0 }), at + "timeBudget: must be longer than 0"},
		{"wait", hook(func(d *Destination) { d.MaxWait = &negative }), at + "maxWait: must not be negative"},
		{"on failure", hook(func(d *Destination) { d.OnFailure = "stop" }), at + "onFailure: is none of park, hold, drop"},
	})
}

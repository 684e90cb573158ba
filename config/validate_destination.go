package config

import (
	"encoding/base64"
	"maps"
	"math"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// notification checks one destination. With lenient, a value may hold a name
// that nothing resolved, and is not looked into.
func (ck *checker) notification(path string, d *Destination, lenient bool) {
	at := func(key string) string { return join(path, key) }
	ck.when(d.Name != "" && !outputName.MatchString(d.Name), at("name"), "must be 1 to 63 letters, digits, _ and -: it stands in metrics and logs")
	if d.Type == "" {
		ck.when(true, at("type"), "is required: webhook, slack or telegram")
	} else {
		ck.oneOf(at("type"), d.Type, DestinationWebhook, DestinationSlack, DestinationTelegram)
	}
	ck.reachable(path, d)
	ck.fitting(path, d)
	ck.body(path, d)
	ck.signing(at("signingSecrets"), d.SigningSecrets, lenient)
	ck.headers(at("headers"), d.Headers)
	ck.calling(path, d, lenient)
	ck.limits(path, d)
	ck.attempts(path, d)
}

// reachable checks that the type has what it needs to reach somebody.
func (ck *checker) reachable(path string, d *Destination) {
	at := func(key string) string { return join(path, key) }
	switch d.Type {
	case DestinationWebhook:
		ck.when(d.URL == "", at("url"), "is required for type webhook")
	case DestinationSlack:
		ck.when(d.URL == "" && d.Token == "", at("url"), "is required for type slack, or token and channel")
		ck.when(d.Token != "" && d.Channel == "", at("channel"), "is required with token")
	case DestinationTelegram:
		ck.when(d.URL == "" && d.Token == "", at("token"), "is required for type telegram, or url")
		heads := d.chatHeader() != ""
		ck.when(d.ChatID == "" && !heads, at("chatId"), "is required for type telegram")
		ck.when(d.ChatID != "" && heads, at("chatId"), "is in headers too; remove one of them")
	}
}

// chatHeader returns the name under which headers hold a Telegram chat, as setu
// has it, or "".
func (d *Destination) chatHeader() string {
	for name, value := range d.Headers {
		if strings.EqualFold(name, "chat_id") && value != "" {
			return name
		}
	}
	return ""
}

// fitting refuses every key that the type would ignore.
func (ck *checker) fitting(path string, d *Destination) {
	plain := defaultDestination()
	for _, k := range []struct {
		key   string
		set   bool
		types []string
	}{
		{"method", d.Method != plain.Method, []string{DestinationWebhook}},
		{"envelope", d.Envelope != plain.Envelope, []string{DestinationWebhook}},
		{"cloudEvents", d.CloudEvents != plain.CloudEvents, []string{DestinationWebhook}},
		{"signingSecrets", len(d.SigningSecrets) > 0, []string{DestinationWebhook}},
		{"batch", d.Batch != plain.Batch, []string{DestinationWebhook}},
		{"blocks", d.Blocks != "", []string{DestinationSlack}},
		{"channel", d.Channel != "", []string{DestinationSlack}},
		{"chatId", d.ChatID != "", []string{DestinationTelegram}},
		{"token", d.Token != "", []string{DestinationSlack, DestinationTelegram}},
	} {
		unfit := k.set && d.knownType() && !slices.Contains(k.types, d.Type)
		ck.when(unfit, join(path, k.key), "works with type %s only; remove it", strings.Join(k.types, " or "))
	}
}

// knownType reports whether there is such a type.
func (d *Destination) knownType() bool { return d.Type == DestinationWebhook || d.toPeople() }

// body checks what bodies of webhooks look like.
func (ck *checker) body(path string, d *Destination) {
	if d.Type != DestinationWebhook {
		return
	}
	at := func(key string) string { return join(path, key) }
	ck.oneOf(at("method"), d.Method, "POST", "PUT", "PATCH")
	ck.oneOf(at("envelope"), d.Envelope, EnvelopeWalherald, EnvelopeWalListener, EnvelopePGEvents,
		EnvelopePSQLStreamer, EnvelopeSetu, EnvelopeCloudEvents, EnvelopeDebezium)
	ck.oneOf(at("cloudEvents"), d.CloudEvents, CloudEventsStructured, CloudEventsBinary)
	binary := d.CloudEvents == CloudEventsBinary
	ck.when(binary && d.Envelope != EnvelopeCloudEvents, at("cloudEvents"), "works with envelope cloudevents only; remove it")
	ck.when(d.Template != "" && d.Envelope != EnvelopeWalherald, at("template"), "makes the body, so envelope would be ignored; remove one of them")
	ck.when(d.Batch < 1 || d.Batch > 1000, at("batch"), "must be 1 to 1000")
	ck.when(d.Batch > 1 && d.Template != "", at("batch"), "makes bodies of several events, and a template one of each; remove one of them")
	ck.when(d.Batch > 1 && binary, at("batch"), "makes bodies of several events, whose attributes cannot all be headers; use cloudEvents structured")
}

// The sizes of a signing secret in bytes (Standard Webhooks 1.0, "Symmetric
// signatures").
const minSigning, maxSigning = 24, 64

func (ck *checker) signing(path string, secrets []Secret, lenient bool) {
	for i, s := range secrets {
		if lenient && unresolved(s) {
			continue
		}
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(s.Reveal(), "whsec_"))
		ck.when(err != nil || len(key) < minSigning || len(key) > maxSigning, entry(path, strconv.Itoa(i)),
			"must be %d to %d random bytes in base64, with or without whsec_ in front; openssl rand -base64 32 makes one", minSigning, maxSigning)
	}
}

// unresolved reports whether a name stands in s that should have been replaced.
func unresolved(s Secret) bool { return strings.Contains(s.Reveal(), "${") }

// headerName is a token (RFC 9110, section 5.6.2).
var headerName = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")

// ownHeaders are set by walherald or by HTTP itself.
var ownHeaders = []string{
	"content-length", "transfer-encoding", "connection", "trailer",
	"webhook-id", "webhook-timestamp", "webhook-signature",
}

func (ck *checker) headers(path string, headers map[string]Secret) {
	control := func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }
	seen := make(map[string]bool)
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		at := entry(path, name)
		ck.when(seen[strings.ToLower(name)], at, "is there in another case too; remove one of them")
		seen[strings.ToLower(name)] = true
		ck.when(!headerName.MatchString(name), at, "is no name of a header: it must be letters, digits and - without blanks")
		ck.when(slices.Contains(ownHeaders, strings.ToLower(name)), at, "is a header that walherald sets itself; remove it")
		ck.when(strings.ContainsFunc(headers[name].Reveal(), control), at, "has a line break or another control character; remove it")
	}
}

// calling checks the address and what TLS to it needs. No text quotes a URL: it
// can hold a token.
func (ck *checker) calling(path string, d *Destination, lenient bool) {
	at := func(key string) string { return join(path, key) }
	ck.when(d.ClientCert != "" && d.ClientKey == "", at("clientKey"), "is required with clientCert")
	ck.when(d.ClientKey != "" && d.ClientCert == "", at("clientCert"), "is required with clientKey")
	if d.URL == "" || lenient && unresolved(d.URL) {
		return
	}
	u, err := url.Parse(d.URL.Reveal())
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		ck.when(true, at("url"), "must be an http or https URL with a host")
		return
	}
	ck.when(strings.Contains(d.URL.Reveal(), "#"), at("url"), "has a fragment, which is never sent; remove # and what follows")
	for _, option := range []struct{ key, file string }{{"clientCert", d.ClientCert}, {"clientKey", d.ClientKey}, {"caCert", d.CACert}} {
		ck.when(u.Scheme == "http" && option.file != "", at(option.key), "has no effect with an http URL; use https or remove it")
	}
}

// limits checks how fast and how many requests are made.
func (ck *checker) limits(path string, d *Destination) {
	at := func(key string) string { return join(path, key) }
	ck.positive(at("timeout"), d.Timeout)
	ck.when(d.Concurrency < 1 || d.Concurrency > 1024, at("concurrency"), "must be 1 to 1024")
	ck.oneOf(at("order"), d.Order, OrderKey, OrderNone)
	ck.when(!(d.Rate >= 0) || math.IsInf(d.Rate, 0), at("rate"), "must not be negative; 0 means the type's own")
	ck.when(d.Coalesce < 0, at("coalesce"), "must not be negative; 0 means that nothing is left out")
	ck.when(d.Circuit.Failures < 0, at("circuit.failures"), "must not be negative; 0 means never")
	if d.Circuit.Failures > 0 {
		ck.positive(at("circuit.openFor"), d.Circuit.OpenFor)
	}
}

// attempts checks how long deliveries are tried, and what happens then.
func (ck *checker) attempts(path string, d *Destination) {
	at := func(key string) string { return join(path, key) }
	ck.when(d.MaxAttempts < 1 || d.MaxAttempts > 100, at("maxAttempts"), "must be 1 to 100")
	ck.when(d.MaxAttempts > 1 && len(d.Backoff) == 0, at("backoff"), "is empty; set the pauses between attempts, or maxAttempts to 1")
	for i, pause := range d.Backoff {
		ck.when(pause < 0, entry(at("backoff"), strconv.Itoa(i)), "must not be negative")
	}
	ck.positive(at("timeBudget"), d.TimeBudget)
	ck.when(d.MaxWait != nil && *d.MaxWait < 0, at("maxWait"), "must not be negative; 0 means for ever")
	ck.oneOf(at("onFailure"), d.OnFailure, OnFailurePark, OnFailureHold, OnFailureDrop)
}

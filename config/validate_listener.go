package config

import (
	"io"
	"strconv"
	"strings"
	"text/template"
	"unicode"
)

// TopicNames is what a topic template can refer to.
type TopicNames struct {
	// Database, Schema and Table as the database spells them; for a logical
	// message Schema is "message" and Table its prefix.
	Database, Schema, Table string
	// Action is INSERT, UPDATE, DELETE, TRUNCATE or MESSAGE.
	Action string
}

// ParseTopicTemplate parses listener.topicTemplate. It is an error if the
// template refers to what TopicNames does not have.
func ParseTopicTemplate(text string) (*template.Template, error) {
	t, err := template.New("topicTemplate").Option("missingkey=error").Parse(text)
	if err != nil {
		return nil, err
	}
	return t, t.Execute(io.Discard, TopicNames{})
}

// routing checks what decides where tables go that no rule names.
func (ck *checker) routing(l *Listener) {
	ck.unmatched("listener", l.TopicRules())
	for i, prefix := range l.Messages {
		ck.when(prefix == "", entry("listener.messages", strconv.Itoa(i)), "is empty; remove it, or write \"*\" for every prefix")
	}
}

// unmatched checks what the rules of the section at path say of tables that none
// of them names.
func (ck *checker) unmatched(path string, r TopicRules) {
	if r.Template != "" {
		if _, err := ParseTopicTemplate(r.Template); err != nil {
			ck.when(true, join(path, "topicTemplate"), "cannot be used: %v; it may refer to {{.Database}}, {{.Schema}}, {{.Table}} and {{.Action}}", err)
		}
	}
	ways := 0
	for _, set := range []bool{r.Template != "", r.Fallback != "", r.DiscardUnmatched} {
		if set {
			ways++
		}
	}
	ck.when(ways > 1, join(path, "topicsMap"), "what no rule matches can go one way only: set one of topicTemplate, fallbackTopic and discardUnmatched")
	ck.when(r.DiscardUnmatched && len(r.Map) == 0, join(path, "discardUnmatched"), "would drop everything: there is no rule in %s", join(path, "topicsMap"))
}

func (ck *checker) values(l *Listener) {
	ck.oneOf("listener.values.numeric", l.Values.Numeric, NumericNumber, NumericString)
	ck.oneOf("listener.values.bytea", l.Values.Bytea, ByteaHex, ByteaBase64)
	ck.when(l.Schema == "" && l.SlotMemory, "listener.schema", "is where listener.slotMemory is kept; name a schema, or set slotMemory to false")
	ck.when(len(l.Schema) > 63 || strings.ContainsFunc(l.Schema, unicode.IsControl) || strings.HasPrefix(l.Schema, "pg_"), "listener.schema",
		"must have 63 bytes at most, no control characters and not begin with pg_")
}

func (ck *checker) masks(l *Listener) {
	hashes := false
	for i, m := range l.Mask {
		at := entry("listener.mask", strconv.Itoa(i))
		ck.when(m.Table == "", join(at, "table"), `is required: "table", "schema.table" or "*" for every table`)
		ck.when(m.Column == "", join(at, "column"), "is required")
		ck.oneOf(join(at, "with"), m.With, MaskNull, MaskHash, MaskRedact)
		hashes = hashes || m.With == MaskHash
	}
	ck.when(hashes && len(l.MaskKey.Reveal()) < minMaskKey, "listener.maskKey",
		"is required to mask with hash and must have %d bytes at least: without a secret, short values can be guessed from their hashes", minMaskKey)
	ck.when(!hashes && l.MaskKey.Reveal() != "", "listener.maskKey", "has no effect: no mask is with hash; remove it")
}

// minMaskKey is the least length of listener.maskKey in bytes.
const minMaskKey = 16

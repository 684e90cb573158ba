package listener

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"slices"
	"strings"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/format"
)

// maskKind says what stands in the place of a column's values.
type maskKind uint8

const (
	maskNone maskKind = iota
	maskNull
	maskRedact
	maskHash
)

var maskKinds = map[string]maskKind{config.MaskNull: maskNull, config.MaskRedact: maskRedact, config.MaskHash: maskHash}

// redacted is what takes the place of values that are masked with redact.
var redacted = []byte("***")

// masks returns how the table's columns are masked, by the first mask that
// names each; nil if none is. What is written in a value's place is a string,
// whatever the column's type.
func masks(list config.Masks, t *publisher.Table) []maskKind {
	var kinds []maskKind
	for i := range t.Columns {
		c := &t.Columns[i]
		n := slices.IndexFunc(list, func(m config.Mask) bool { return maskNames(m, t, c.Name) })
		if n < 0 {
			continue
		}
		if kinds == nil {
			kinds = make([]maskKind, len(t.Columns))
		}
		kinds[i] = maskKinds[list[n].With]
		c.AppendJSON = format.AppendString
	}
	return kinds
}

func maskNames(m config.Mask, t *publisher.Table, column string) bool {
	return strings.EqualFold(m.Column, column) &&
		(m.Table == "*" || strings.EqualFold(m.Table, t.Name) || strings.EqualFold(m.Table, t.Schema+"."+t.Name))
}

// masker puts the masks in the place of values. It belongs to one goroutine.
type masker struct {
	mac  hash.Hash // HMAC-SHA256 (RFC 2104) under listener.maskKey
	sum  [sha256.Size]byte
	text []byte // the hashes of the current event
}

func newMasker(key config.Secret) *masker {
	return &masker{mac: hmac.New(sha256.New, []byte(key.Reveal()))}
}

// next begins another event: the texts of the one before are no longer valid.
func (m *masker) next() { m.text = m.text[:0] }

// mask returns what stands in the place of v. NULL and what the log does not
// hold stay as they are. The text is valid until next.
func (m *masker) mask(v publisher.Value, kind maskKind) publisher.Value {
	if v.Kind != publisher.Text {
		return v
	}
	switch kind {
	case maskNull:
		return publisher.Value{Kind: publisher.Null}
	case maskRedact:
		v.Text = redacted
	case maskHash:
		v.Text = m.hash(v.Text)
	}
	return v
}

// hash returns the lower-case hexadecimal digits of the text's HMAC. Where they
// take a larger buffer, the texts before stay in the one they are in.
func (m *masker) hash(text []byte) []byte {
	m.mac.Reset()
	m.mac.Write(text) // its error is always nil
	start := len(m.text)
	m.text = hex.AppendEncode(m.text, m.mac.Sum(m.sum[:0]))
	return m.text[start:len(m.text):len(m.text)]
}

// Package text makes messages out of events by templates of package
// text/template.
//
// A template sees an [Event]; docs/messages.md describes its fields and the
// helpers beside the functions of text/template. Where templates differ from what
// that package does by itself, it is because columns are what they are about:
//
//   - A number is printed with all its digits and compares as a number, with
//     literals as well (gt .New.total 100); printf takes it for %d and %.2f.
//   - NULL is false, has no fields, equals nil and is printed as NULL. JSON is
//     printed as JSON.
//   - What an event lacks is false and equals nil, too, but printing it is an
//     error: a misspelt column is not to become a message with a hole in it. The
//     helper default stands in for both: {{default "unknown" .Old.status}}.
//   - What is printed is escaped for where it goes ([Options].Escape), unless a
//     helper that escapes has made it. The template's own text is not.
//
// An error says where in the template it happened and never holds a value: it will
// stand in logs and with parked deliveries. What one event can cost is bounded, in
// bytes and in steps, so that a template's mistake ends as an error as well.
package text

import (
	"bytes"
	"fmt"
	"sync"
	"text/template"

	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/notifier"
)

// Bounds of one execution.
const (
	// MaxOutput is how many bytes a template makes at most.
	MaxOutput = 1 << 20
	// maxSteps bounds the turns of all ranges and the calls of templates together.
	maxSteps = 1_000_000
)

// Options say how a template prints. The zero value prints values as they are.
type Options struct {
	// Escape makes a printed value safe for where the message goes; nil leaves it
	// as it is. It must be safe for concurrent use.
	Escape func(string) string
}

// Template is a parsed template. It is safe for concurrent use.
type Template struct {
	name   string
	parsed *template.Template
	runs   sync.Pool // of *run
}

// run is a template with the state of one execution at a time.
type run struct {
	template *template.Template
	steps    int
}

// New parses source. The name stands in errors; it is best the configuration key
// that holds the template. An error shows the part of source that is at fault.
func New(name, source string, o Options) (*Template, error) {
	parsed, err := template.New(name).Funcs(functions(o.Escape)).Parse(source)
	if err != nil {
		return nil, fmt.Errorf("parse %w", err)
	}
	for _, t := range parsed.Templates() {
		prepare(t.Root)
	}
	return &Template{name: name, parsed: parsed}, nil
}

// Execute returns what the template makes of d, whose payload has to be in the
// envelope walherald. It is at most [MaxOutput] bytes of UTF-8. Every error
// satisfies [publisher.IsPermanent] and holds no value of the event.
func (t *Template) Execute(d *notifier.Delivery) ([]byte, error) {
	e, err := Parse(d)
	if err != nil {
		return nil, err
	}
	return t.ExecuteEvent(e)
}

// ExecuteEvent is [Template.Execute] of an event that has been parsed already.
func (t *Template) ExecuteEvent(e *Event) ([]byte, error) {
	r, err := t.run()
	if err != nil {
		return nil, publisher.Permanent(err)
	}
	defer t.runs.Put(r)
	r.steps = 0
	var out bounded
	if err := r.template.Execute(&out, e); err != nil {
		return nil, publisher.Permanent(explain(t.name, err))
	}
	return bytes.ToValidUTF8(out.buf.Bytes(), []byte("\uFFFD")), nil
}

// run returns a run that nobody else uses.
func (t *Template) run() (*run, error) {
	if r, ok := t.runs.Get().(*run); ok {
		return r, nil
	}
	clone, err := t.parsed.Clone()
	if err != nil {
		return nil, fmt.Errorf("copy template %s: %w", t.name, err)
	}
	r := &run{template: clone}
	clone.Funcs(template.FuncMap{stepName: r.step})
	return r, nil
}

// step counts one step.
func (r *run) step() (Safe, error) {
	if r.steps++; r.steps > maxSteps {
		return "", mistakef("more than %d turns of ranges and calls of templates; let it do less for one event", maxSteps)
	}
	return "", nil
}

// bounded is a buffer of at most MaxOutput bytes.
type bounded struct{ buf bytes.Buffer }

// Write implements [io.Writer].
func (b *bounded) Write(p []byte) (int, error) {
	if b.buf.Len()+len(p) > MaxOutput {
		return 0, mistakef("the text is longer than %d bytes; truncate shortens a value", MaxOutput)
	}
	return b.buf.Write(p)
}

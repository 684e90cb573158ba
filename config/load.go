package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Load reads the configuration: the defaults, then the YAML file at path, then
// the environment, then Validate. An empty path means there is no file. The file
// can also be an activation.yaml of setu.
//
// In secrets, in database and in destinations ${name} stands for what [Secrets]
// says; relative paths begin at the folder of the file.
//
// The error is [Problems], with everything that is wrong at once, unless the
// file cannot be read at all, which is what errors.Is tells of a missing one.
func Load(path string) (*Config, error) {
	src, err := source(path)
	if err != nil {
		return nil, err
	}
	return load(path, src)
}

// source returns what is in the file at path, nothing for an empty path.
func source(path string) ([]byte, error) {
	if path == "" {
		return nil, nil
	}
	src, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return src, nil
}

func load(path string, src []byte) (*Config, error) {
	return newDecoder(path).load(path, src)
}

// load decodes and checks the whole. The decoder knows afterwards where each key was
// set.
func (d *decoder) load(path string, src []byte) (*Config, error) {
	cfg := Default()
	d.file(src, &cfg)
	d.environment(&cfg)
	cfg.lower()
	if err := d.verdict(cfg.check(), path); err != nil {
		return nil, err
	}
	cfg.warnings = append(d.warnings, strayVariables(os.Environ())...)
	return &cfg, nil
}

// newDecoder returns a decoder of the file at path.
func newDecoder(path string) *decoder {
	return &decoder{source: path, lined: true, origins: origins{"": {source: path}}}
}

// file decodes the YAML of the file into cfg.
func (d *decoder) file(src []byte, cfg *Config) {
	doc := d.document(src)
	if doc == nil {
		d.openSecrets(nil)
		return
	}
	root := doc.Content[0]
	d.openSecrets(root)
	if isActivation(root) {
		root = d.activation(root)
	}
	d.value(root, "", reflect.ValueOf(cfg).Elem())
}

// document parses the only YAML document of the file; nil if there is none.
func (d *decoder) document(src []byte) *yaml.Node {
	dec := yaml.NewDecoder(bytes.NewReader(src))
	var doc, next yaml.Node
	err := dec.Decode(&doc)
	if err == nil {
		err = dec.Decode(&next)
	}
	switch {
	case err == nil:
		d.problemAt(d.at(&next), "", "expected one YAML document, not several; remove the line ---")
	case !errors.Is(err, io.EOF):
		where, text := syntax(d.source, err)
		d.problemAt(where, "", "%s", text)
	}
	if doc.IsZero() {
		return nil
	}
	return &doc
}

// verdict returns all problems as an error, those that the check of the
// configuration found among them, or nil, and notes the warnings.
func (d *decoder) verdict(checked Problems, path string) error {
	problems := append(d.problems, located(checked, d)...)
	if !d.secrets.lenient && !d.secrets.broken {
		problems = append(problems, d.unresolved...)
	}
	for _, p := range slices.Concat(problems, d.unresolved) {
		p.translate(path, d.translations)
	}
	problems.sort()
	if d.secrets.lenient {
		for _, p := range d.unresolved {
			d.warnings = append(d.warnings, p.Error())
		}
	}
	return append(d.fileProblems, problems...).err()
}

var yamlError = regexp.MustCompile(`(?s)^yaml: (?:line (\d+): )?(.*)$`)

// syntax returns where the YAML is broken, and what is. The one message of the
// yaml package's parser that shows a piece of the file, which can be a password
// without quotes, is replaced.
func syntax(source string, err error) (where origin, text string) {
	where, text = origin{source: source}, err.Error()
	if m := yamlError.FindStringSubmatch(text); m != nil {
		where.line, _ = strconv.Atoi(m[1])
		text = m[2]
	}
	if strings.HasPrefix(text, "unknown anchor") {
		text = "a value begins with * and names no anchor; quote it"
	}
	return where, "not valid YAML: " + text
}

// located completes the problems of a check by where the keys were set. Those of
// keys that could not be read or resolved are left out: they have been told.
func located(checked Problems, d *decoder) Problems {
	var out Problems
	for _, p := range checked {
		if d.problems.covers(p.Path) || !d.secrets.lenient && d.unresolved.covers(p.Path) {
			continue
		}
		o := d.origins.of(p.Path)
		p.Source, p.Line = o.source, o.line
		out = append(out, p)
	}
	return out
}

// lower writes the values of fixed sets in lower case, so that no room has to
// fold them again.
func (c *Config) lower() {
	for _, s := range []*string{
		&c.Database.SSLMode, &c.Logger.Level, &c.Logger.Fmt, &c.Listener.Values.Numeric, &c.Listener.Values.Bytea,
	} {
		*s = strings.ToLower(*s)
	}
	for i := range c.Listener.Mask {
		c.Listener.Mask[i].With = strings.ToLower(c.Listener.Mask[i].With)
	}
	lowerActions(c.Listener.Filter)
	lowerActions(c.Listener.Include)
	c.Notifier.lower()
	c.Publisher.lower()
	for i := range c.Publishers {
		c.Publishers[i].lower()
	}
}

func (p *Publisher) lower() {
	for _, s := range []*string{
		&p.Type, &p.ExchangeKind, &p.Oversize, &p.MissingTopic, &p.Envelope, &p.CloudEvents, &p.BodyCompression,
		&p.NATS.Storage, &p.Kafka.SASL, &p.Kafka.Compression,
	} {
		*s = strings.ToLower(*s)
	}
	lowerActions(p.Filter)
}

func lowerActions(t TableActions) {
	for _, actions := range t.Tables {
		for i := range actions {
			actions[i] = strings.ToLower(actions[i])
		}
	}
}

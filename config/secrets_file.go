package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// secretsFile is looked for beside the configuration, as setu does.
const secretsFile = "channels-env.yml"

// openSecrets makes placeholders known before anything that can hold one is
// decoded: it reads the section secrets alone, from the file and the
// environment. What is wrong with that section is told when it is decoded with
// all the others.
func (d *decoder) openSecrets(root *yaml.Node) {
	var early struct {
		Secrets Secrets `yaml:"secrets"`
	}
	if root != nil {
		scratch := decoder{origins: origins{}}
		scratch.section(root, "", reflect.ValueOf(&early).Elem())
	}
	if file := os.Getenv(envName("secrets.file")); file != "" {
		early.Secrets.File = file
	}
	if lenient, err := strconv.ParseBool(os.Getenv(envName("secrets.lenient"))); err == nil {
		early.Secrets.Lenient = lenient
	}
	d.secrets = &secretSource{folder: filepath.Dir(d.source), lenient: early.Secrets.Lenient}
	d.fileProblems = d.secrets.open(early.Secrets.File)
	d.secrets.broken = len(d.fileProblems) > 0
}

// open reads the secrets file. One that nobody named need not exist.
func (s *secretSource) open(named string) Problems {
	s.file = s.path(secretsFile)
	if named != "" {
		s.file = s.path(named)
	}
	text, err := readBounded(s.file)
	switch {
	case err == nil:
		return s.read(text)
	case named == "" && errors.Is(err, fs.ErrNotExist):
		return nil
	}
	p := &Problem{Source: s.file, Text: fmt.Sprintf("the file with secrets cannot be read: %v", err)}
	if named != "" {
		p.Text += "; correct secrets.file"
	}
	return Problems{p}
}

// read takes over a mapping of names to single values, and nothing else.
func (s *secretSource) read(text []byte) Problems {
	d := &decoder{source: s.file, lined: true, origins: origins{"": {source: s.file}}}
	s.names = make(map[string]string)
	doc := d.document(text)
	if doc == nil || isNull(doc.Content[0]) {
		return d.problems
	}
	d.pairs(doc.Content[0], "", join, func(name string, key, value *yaml.Node) {
		path := printable(name)
		d.origins[path] = d.at(key)
		switch {
		case value.Kind != yaml.ScalarNode:
			d.problem(path, "expected a single value, not %s", kindOf(value))
		case value.Anchor != "":
			d.problem(path, "has an anchor; quote a value that begins with &")
		case isNull(value):
			d.problem(path, `has no value; write "" for an empty one`)
		case d.plain(value, path):
			s.names[name] = value.Value
		}
	})
	return d.problems
}

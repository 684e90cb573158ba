package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// literal is how ${ is written where it means itself.
const literal = "$${"

// escape writes text so that expand gives it back.
func escape(text string) string { return strings.ReplaceAll(text, "${", literal) }

// cutPlaceholder splits text around the first placeholder. That is ${name}, or
// literal, or all from a ${ on that is never closed; "" if there is none.
func cutPlaceholder(text string) (before, placeholder, after string) {
	at := strings.Index(text, "${")
	if at < 0 {
		return text, "", ""
	}
	if at > 0 && text[at-1] == '$' {
		return text[:at-1], literal, text[at+2:]
	}
	length := strings.IndexByte(text[at:], '}') + 1
	if length == 0 {
		length = len(text) - at
	}
	return text[:at], text[at : at+length], text[at+length:]
}

// isPlaceholder reports whether text is one placeholder and nothing else.
func isPlaceholder(text string) bool {
	before, placeholder, after := cutPlaceholder(text)
	return before == "" && after == "" && strings.HasSuffix(placeholder, "}")
}

// orLiteral ends every text about a placeholder.
const orLiteral = ", or write " + literal + " for a literal ${"

// expand replaces the placeholders in text by what value says of their names.
// What it puts in is not looked at again. A placeholder that cannot be replaced
// stays, and missed says why, once for each reason.
func expand(text string, value func(name string) (string, error)) (expanded string, missed []string) {
	var out strings.Builder
	for text != "" {
		before, placeholder, after := cutPlaceholder(text)
		out.WriteString(before)
		text = after
		switch {
		case placeholder == "":
		case placeholder == literal:
			out.WriteString("${")
		case !strings.HasSuffix(placeholder, "}"):
			out.WriteString(placeholder)
			missed = append(missed, "has a ${ without its }; close it"+orLiteral)
		default:
			found, err := value(placeholder[2 : len(placeholder)-1])
			if err != nil {
				found = placeholder
				missed = append(missed, err.Error()+orLiteral)
			}
			out.WriteString(found)
		}
	}
	slices.Sort(missed)
	return out.String(), slices.Compact(missed)
}

// secretSource says what the names in placeholders stand for.
type secretSource struct {
	// folder is that of the configuration, where relative paths begin.
	folder string
	// file is the secrets file, whether it exists or not, and names is what it holds.
	file  string
	names map[string]string
	// broken says that the file could not be used, so that what names are missed
	// for is known.
	broken  bool
	lenient bool
}

// secretName is what a name must look like. A piece of a password that happens
// to stand between ${ and } mostly does not, and is not shown for that.
var secretName = regexp.MustCompile(`^[\pL\pN_][\pL\pN_.-]*$`)

// value returns what name stands for. Errors show the name, never a value.
func (s *secretSource) value(name string) (string, error) {
	if path, ok := strings.CutPrefix(name, "file:"); ok {
		return s.content(path)
	}
	variable, fromEnv := strings.CutPrefix(name, "env:")
	if !secretName.MatchString(variable) {
		return "", errors.New("has a ${ with no name behind it; write ${name} with letters, digits, _, . and -")
	}
	if value, ok := s.names[name]; ok {
		return value, nil
	}
	switch value := os.Getenv(variable); {
	case value != "":
		return value, nil
	case fromEnv:
		return "", fmt.Errorf("${%s} is not known; set the variable %s", name, variable)
	}
	return "", fmt.Errorf("${%s} is not known; put %s into %s, set the variable of that name", name, name, s.file)
}

// content returns what stands in a file, without the line break at its end.
func (s *secretSource) content(path string) (string, error) {
	text, err := readBounded(s.path(path))
	if err != nil {
		return "", fmt.Errorf("${file:%s} cannot be read: %w; correct the path", printable(path), err)
	}
	if whole, ok := strings.CutSuffix(string(text), "\n"); ok {
		return strings.TrimSuffix(whole, "\r"), nil
	}
	return string(text), nil
}

// path returns where a file is that the configuration names.
func (s *secretSource) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(s.folder, name)
}

// maxSecret is how many bytes a file with secrets may have.
const maxSecret = 1 << 20

// readBounded reads a file of maxSecret bytes at most. The error is the reason
// alone, without the path.
func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, reason(err)
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	switch {
	case err != nil:
		return nil, reason(err)
	case len(text) > maxSecret:
		return nil, errors.New("it is larger than 1 MiB")
	}
	return text, nil
}

func reason(err error) error {
	var failed *fs.PathError
	if errors.As(err, &failed) {
		return failed.Err
	}
	return err
}

// placed are the keys of destinations that hold placeholders without being of
// the type Secret.
var placed = []string{"channel", "chatId", "caCert", "clientCert", "clientKey"}

// takesPlaceholders reports whether placeholders are replaced in a value of the
// type at path. Addresses see to it themselves.
func takesPlaceholders(path string, typ reflect.Type) bool {
	section, _, _ := strings.Cut(path, ".")
	last := path[strings.LastIndexAny(path, ".[")+1:]
	switch {
	case typ == reflect.TypeFor[Secret](), section == "database":
		return true
	case section == "notifier":
		return slices.Contains(placed, last)
	}
	return strings.HasPrefix(section, "publisher") && last == "user"
}

// expanded replaces the placeholders in the text of the value at path; ok says
// that none stays for which there is a problem. Without secrets, as in a file of
// secrets itself, the text stays as it is.
func (d *decoder) expanded(text, path string) (_ string, ok bool) {
	if d.secrets == nil {
		return text, true
	}
	text, missed := expand(text, d.secrets.value)
	o := d.origins.of(path)
	for _, m := range missed {
		d.unresolved = append(d.unresolved, &Problem{o.source, o.line, path, m})
	}
	return text, len(missed) == 0 || d.secrets.lenient
}

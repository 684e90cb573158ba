package text

import (
	"errors"
	"fmt"
	"regexp"
)

// mistake is an error whose text is known to hold no value of an event.
type mistake string

func (m mistake) Error() string { return string(m) }

// mistakef makes a mistake. Its arguments must come from the template or from the
// program, not from an event.
func mistakef(format string, args ...any) error { return mistake(fmt.Sprintf(format, args...)) }

var (
	// position finds where in a template an error of package text/template is.
	position = regexp.MustCompile(`^template: .*?:(\d+:\d+): executing "`)
	// detail finds, behind the position and the piece of the template that is at
	// fault, what the error is.
	detail = regexp.MustCompile(`^template: .*?:\d+:\d+: executing ".*?" at <(.*?)>: (.*)`)
	// harmless are the pieces of a template that are shown: fields and variables.
	harmless = regexp.MustCompile(`^[.$][\w.$]{0,100}(\.\.\.)?$`)
)

// known says what errors of package text/template mean. Of the errors themselves,
// which can quote values, nothing is shown but what the groups match: words of the
// template and names of types.
var known = []struct {
	error *regexp.Regexp
	means string
}{
	{regexp.MustCompile(`^can't evaluate field (\w+) in type`), "there is no field %s here"},
	{regexp.MustCompile(`^wrong number of args for (\w+): `), "%s has too few or too many arguments"},
	{regexp.MustCompile(`^template "(\w+)" not defined`), "there is no template %s"},
	{regexp.MustCompile(`^range can't iterate over `), "range goes over lists, rows and whole numbers"},
	{regexp.MustCompile(`^exceeded maximum template depth`), "templates call each other without end"},
	{regexp.MustCompile(`^nil pointer evaluating `), "what should have this field is missing"},
	{regexp.MustCompile(`^(?:wrong type for value;|invalid value;|can't handle |expected )`), "a value is not of the type that is wanted here"},
	{regexp.MustCompile(`^error calling (\w+): `), "%s cannot do anything with these arguments"},
}

// explain makes an error of executing the template name into one without values.
func explain(name string, err error) error {
	text := err.Error()
	at := "template " + name
	if p := position.FindStringSubmatch(text); p != nil {
		at += ":" + p[1]
	}
	var m mistake
	if errors.As(err, &m) {
		return fmt.Errorf("%s: %w", at, m)
	}
	d := detail.FindStringSubmatch(text)
	if d == nil {
		return fmt.Errorf("%s: it fails for this event", at)
	}
	if harmless.MatchString(d[1]) {
		at += ": " + d[1]
	}
	return fmt.Errorf("%s: %s", at, meaning(d[2]))
}

// meaning returns what an error of package text/template means.
func meaning(text string) string {
	for _, k := range known {
		g := k.error.FindStringSubmatch(text)
		switch len(g) {
		case 1:
			return k.means
		case 2:
			return fmt.Sprintf(k.means, g[1])
		}
	}
	return "this fails for this event"
}

package webhook

import (
	"strings"
	"testing"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/internal/receiver"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/notifier"
)

// row is an INSERT in the envelope walherald, with what breaks out of texts.
const row = `{"schema":"public","table":"orders","action":"INSERT","data":{"id":7,"name":"a\"b&c=d\\\n<é>","doc":{"x":"y"}}}`

func TestTemplatesMakeBodies(t *testing.T) {
	for name, tt := range map[string]struct {
		template, kind string
		want           string
	}{
		"JSON":        {`{"text":"order {{.New.id}} of {{.New.name}}","all":{{json .New.doc}},"id":{{.New.id}}}`, "", `{"text":"order 7 of a\"b\u0026c=d\\\n\u003cé\u003e","all":{"x":"y"},"id":7}`},
		"other JSON":  {`["{{.New.name}}"]`, "application/vnd.x+json; charset=utf-8", `["a\"b\u0026c=d\\\n\u003cé\u003e"]`},
		"form":        {`name={{.New.name}}&id={{.New.id}}`, "application/x-www-form-urlencoded", `name=a%22b%26c%3Dd%5C%0A%3C%C3%A9%3E&id=7`},
		"other texts": {`{{.New.name}}`, "text/plain", "a\"b&c=d\\\n<é>"},
	} {
		r := receiver.New(t, receiver.Options{})
		n := destination(r.URL())
		n.Template, n.SigningSecrets = tt.template, []config.Secret{signing}
		kind := "application/json"
		if tt.kind != "" {
			kind, n.Headers = tt.kind, map[string]config.Secret{"Content-Type": config.Secret(tt.kind)}
		}
		d := delivery(t, 1)
		d.Payload = []byte(row)
		if err := open(t, n, plain).Send(t.Context(), []notifier.Delivery{d}); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := r.Requests()[0]
		if string(got.Body) != tt.want || got.Header.Get("Content-Type") != kind {
			t.Errorf("%s: it came as %s: %s\nwant %s", name, got.Header.Get("Content-Type"), got.Body, tt.want)
		}
		if err := verify(t, got, signing); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhatATemplateCannotMakeIsPermanent(t *testing.T) {
	r := receiver.New(t, receiver.Options{})
	for template, want := range map[string]string{
		`{"text":{{.New.name}}}`:      "makes no JSON",
		`{"text":"{{.New.nothing}}"}`: "notifier.destinations[0].template",
	} {
		n := destination(r.URL())
		n.Template = template
		d := delivery(t, 1)
		d.Payload = []byte(row)
		err := open(t, n, plain).Send(t.Context(), []notifier.Delivery{d})
		if !publisher.IsPermanent(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", template, err, want)
		}
		checkSilent(t, err, "a\"b")
	}
	if r.Count() != 0 {
		t.Errorf("%d requests were made", r.Count())
	}
}

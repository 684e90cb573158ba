package console

import (
	"bytes"
	"encoding/json"
	"maps"
	"mime"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

// description is openapi.yaml, as far as the tests read it.
type description struct {
	Paths      map[string]map[string]operation
	Components struct{ Responses map[string]response }
}

type operation struct {
	Security  []any
	Responses map[string]response
}

type response struct {
	Ref     string `yaml:"$ref"`
	Content map[string]struct{ Schema map[string]any }
}

// openAPI is the description and a compiler of its schemas.
var openAPI = sync.OnceValues(func() (description, *jsonschema.Compiler) {
	text, err := files.ReadFile("openapi.yaml")
	if err != nil {
		panic(err)
	}
	var d description
	var whole any
	for _, v := range []any{&d, &whole} {
		if err := yaml.Unmarshal(text, v); err != nil {
			panic(err)
		}
	}
	plain, err := json.Marshal(whole)
	if err != nil {
		panic(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(plain))
	if err != nil {
		panic(err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	if err := c.AddResource("openapi.json", doc); err != nil {
		panic(err)
	}
	return d, c
})

// compiling guards the compiler, which tests that run side by side share.
var compiling sync.Mutex

func compile(t *testing.T, ref string) *jsonschema.Schema {
	t.Helper()
	_, c := openAPI()
	compiling.Lock()
	defer compiling.Unlock()
	s, err := c.Compile("openapi.json" + ref)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// templateOf returns the path of the description that a request's path is an example of.
func templateOf(path string) string {
	path, _, _ = strings.Cut(path, "?")
	if strings.HasPrefix(path, "/assets/") {
		return "/assets/{file}"
	}
	d, _ := openAPI()
	if _, found := d.Paths[path]; !found && strings.HasPrefix(path, "/debug/pprof/") {
		return "/debug/pprof/{profile}"
	}
	return path
}

// described fails unless the description has the answer. What is refused before an
// endpoint is found is not described.
func described(t *testing.T, r request, w *httptest.ResponseRecorder) {
	t.Helper()
	d, _ := openAPI()
	method := strings.ToLower(r.method)
	if method == "head" {
		method = "get" // which every one answers, as HTTP has it
	}
	op, found := d.Paths[templateOf(r.path)][method]
	if !found || w.Code == http.StatusMisdirectedRequest {
		if w.Code < http.StatusBadRequest {
			t.Errorf("%s %s: status %d, but it is not described", r.method, r.path, w.Code)
		}
		return
	}
	resp, found := op.Responses[strconv.Itoa(w.Code)]
	if !found {
		t.Errorf("%s %s: status %d is not described", r.method, r.path, w.Code)
		return
	}
	if resp.Ref != "" {
		resp = d.Components.Responses[resp.Ref[strings.LastIndex(resp.Ref, "/")+1:]]
	}
	kind, _, err := mime.ParseMediaType(w.Header().Get("Content-Type"))
	content, found := resp.Content[kind]
	if err != nil || len(resp.Content) > 0 && !found {
		t.Errorf("%s %s: status %d has media type %q, which is not described", r.method, r.path, w.Code, kind)
	}
	if kind == "application/json" {
		satisfies(t, content.Schema["$ref"].(string), w.Body.Bytes())
	}
}

// satisfies fails unless a JSON text is what a schema of the description says.
func satisfies(t *testing.T, ref string, text []byte) {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	if err := compile(t, ref).Validate(doc); err != nil {
		t.Errorf("%s is not as described: %v", text, err)
	}
}

func TestEveryRouteIsDescribedAndNoOther(t *testing.T) {
	d, _ := openAPI()
	var want, got []string
	for path, operations := range d.Paths {
		for method, op := range operations {
			if len(op.Responses) == 0 {
				t.Errorf("%s %s has no answers", method, path)
			}
			want = append(want, strings.ToUpper(method)+" "+path+note(len(op.Security) > 0))
		}
	}
	for _, r := range newTheatre().routes() {
		path := r.path
		if strings.HasPrefix(path, "/assets/") {
			path = "/assets/{file}"
		}
		got = append(got, r.method+" "+path+note(r.token))
	}
	slices.Sort(want)
	slices.Sort(got)
	if got := slices.Compact(got); !slices.Equal(got, want) {
		t.Errorf("routes are\n%s\nand described are\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func note(token bool) string {
	if token {
		return " with token"
	}
	return ""
}

func TestEverySchemaCompiles(t *testing.T) {
	var whole struct {
		Components struct{ Schemas map[string]any }
	}
	text, err := files.ReadFile("openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &whole); err != nil {
		t.Fatal(err)
	}
	for name := range maps.Keys(whole.Components.Schemas) {
		compile(t, "#/components/schemas/"+name)
	}
}

// A description that takes everything would prove nothing.
func TestDescriptionRefusesWhatIsNoAnswer(t *testing.T) {
	s := compile(t, "#/components/schemas/Status")
	for _, change := range []func(map[string]any){
		func(m map[string]any) { m["surprise"] = 1 },
		func(m map[string]any) { delete(m, "source") },
		func(m map[string]any) { m["state"] = "fine" },
		func(m map[string]any) { m["source"].(map[string]any)["surprise"] = 1 },
		func(m map[string]any) { m["source"].(map[string]any)["serverLSN"] = "somewhere" },
		func(m map[string]any) { m["outputs"].([]any)[0].(map[string]any)["since"] = "yesterday" },
	} {
		text, err := json.Marshal(newTheatre().present())
		if err != nil {
			t.Fatal(err)
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Validate(doc); err != nil {
			t.Fatal(err)
		}
		change(doc.(map[string]any))
		if s.Validate(doc) == nil {
			t.Errorf("described is %v", doc)
		}
	}
}

package config

import (
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/viper"
	"go.yaml.in/yaml/v3"
)

// environment lays the variables over what the file said: WAL_<SECTION>_<KEY>
// for every key. An empty variable counts as absent. A list is one text with
// commas, a mapping or a list of mappings is YAML in one line.
func (d *decoder) environment(cfg *Config) {
	vp := viper.New()
	vp.SetEnvPrefix(envPrefix)
	for _, k := range schema {
		// It only fails without arguments.
		vp.MustBindEnv(append([]string{k.path}, k.env...)...)
	}
	for _, k := range schema {
		text := vp.GetString(k.path)
		if text == "" {
			continue
		}
		d.override(k, setBy(k), text, cfg)
	}
}

// setBy returns the variable that viper took the key from: the first one set.
func setBy(k key) string {
	i := slices.IndexFunc(k.env, func(name string) bool { return os.Getenv(name) != "" })
	return k.env[max(0, i)]
}

// override decodes a variable's text as if it stood in the file.
func (d *decoder) override(k key, variable, text string, cfg *Config) {
	d.source, d.lined = variable, false
	// What the file said of the entries of a list or map is no longer true, and
	// what it could not resolve is no longer missed.
	maps.DeleteFunc(d.origins, func(path string, _ origin) bool { return strings.HasPrefix(path, k.path+"[") })
	d.unresolved = slices.DeleteFunc(d.unresolved, func(p *Problem) bool {
		return p.Path == k.path || strings.HasPrefix(p.Path, k.path+"[")
	})
	d.origins[k.path] = origin{source: variable}
	v := k.in(cfg)
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text}
	if isYAML(v.Interface()) {
		var doc yaml.Node
		if err := yaml.Unmarshal([]byte(text), &doc); err != nil || len(doc.Content) == 0 {
			d.problem(k.path, "expected YAML in one line, such as {a: b} for a mapping")
			return
		}
		n = doc.Content[0]
	}
	d.value(n, k.path, v)
}

func isYAML(v any) bool {
	switch v.(type) {
	case map[string]string, map[string][]string, TopicsMap, Masks, Publishers, Destinations, Rules:
		return true
	}
	return false
}

// strayVariables warns of WAL_ variables that set nothing. They are no error:
// Kubernetes, for one, makes variables from the names of services.
func strayVariables(environ []string) []string {
	takes := make(map[string]key)
	var known, warnings []string
	for _, k := range schema {
		for _, name := range k.env {
			takes[name] = k
			known = append(known, name)
		}
	}
	for _, pair := range slices.Sorted(slices.Values(environ)) {
		name, value, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, envPrefix+"_") || value == "" {
			continue
		}
		if k, ok := takes[name]; ok {
			if by := setBy(k); by != name {
				warnings = append(warnings, name+" has no effect: "+by+" is set too")
			}
			continue
		}
		warning := name + " sets no key"
		if near := nearest(name, known); near != "" {
			warning += "; did you mean " + near + "?"
		}
		warnings = append(warnings, warning)
	}
	return warnings
}

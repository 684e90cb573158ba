package config

import "os"

// Variable is an environment variable that sets a key.
type Variable struct {
	Name string
	// Key is the path of the key.
	Key string
	// Type and Default are those of the key, as the manual writes them.
	Type, Default string
	// Meaning is the first sentence about the key; for another spelling of a variable,
	// that it is one.
	Meaning string
	// Set says that the variable is there and not empty. What it holds is for nobody to
	// see: it can be a secret.
	Set bool
}

// Variables lists every environment variable that sets a key, in the order of the
// schema. Of a key's several variables the first one that is set counts.
func Variables() []Variable {
	cfg := Default()
	var all []Variable
	for _, k := range schema {
		v := k.in(&cfg)
		for i, name := range k.env {
			variable := Variable{
				Name: name, Key: k.path, Type: typeName(v.Type()), Default: defaultText(v),
				Meaning: meanings()[k.path].brief(), Set: os.Getenv(name) != "",
			}
			if i > 0 {
				variable.Meaning = "The same as " + k.env[0]
			}
			all = append(all, variable)
		}
	}
	return all
}

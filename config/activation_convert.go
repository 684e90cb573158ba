package config

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"
)

// reviewed is the head of a converted file.
const reviewed = `# Made by "walherald convert" from %s. Worth a look:
#
# - database: enableTLS, or sslMode verify-full, protects what is read. A password
#   is better kept in channels-env.yml beside this file, as ${name} here.
# - envelope: setu keeps the bodies that receivers of setu know. Without it they
#   tell more.
# - allowPrivate: true allows calls to private and loopback addresses. Remove it
#   where receivers are on the internet.
# - onFailure: a notification that cannot be delivered is parked and tried again
#   later. "hold" waits for it instead, as setu does, and keeps the log.`

// wholly is added where a placeholder had to be resolved.
const wholly = `
# - database: %s stood for all of it. The values are those it has now, the
#   password among them.`

// ConvertActivation returns the configuration that the activation file at path
// is, as YAML. Placeholders stay, except one that is the whole connection, which
// has to be resolved to be split; comments stay too. From a file in the same
// folder, [Load] makes the same Config of it as of the activation file. The error
// is [Problems], unless the file cannot be read or is no activation file.
func ConvertActivation(path string) ([]byte, error) {
	src, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read activation file: %w", err)
	}
	d := newDecoder(path)
	doc := d.document(src)
	if doc != nil && !isActivation(doc.Content[0]) {
		return nil, fmt.Errorf("convert %s: it is no activation file of setu, which has rules beside pg_connection or source, and neither listener nor database", path)
	}
	if doc == nil && len(d.problems) == 0 {
		return nil, fmt.Errorf("convert %s: it is empty", path)
	}
	if doc != nil {
		d.openSecrets(doc.Content[0])
		head := header(path, doc)
		doc.Content[0] = d.activation(doc.Content[0])
		for _, w := range d.warnings {
			head += "\n# - " + w
		}
		doc.HeadComment = strings.TrimSpace(head + "\n\n" + doc.HeadComment)
	}
	for _, p := range d.problems {
		p.translate(path, d.translations)
	}
	if err := append(d.fileProblems, d.problems...).err(); err != nil {
		return nil, err
	}
	return encode(doc)
}

// header says what to look at in the file that is made of the one at path.
func header(path string, doc *yaml.Node) string {
	head := fmt.Sprintf(reviewed, printable(filepath.Base(path)))
	root := doc.Content[0]
	connection := valueOf(root, "pg_connection")
	if source := valueOf(root, "source"); source != nil {
		connection = valueOf(target(source), "connection")
	}
	if connection != nil && isPlaceholder(target(connection).Value) {
		head += fmt.Sprintf(wholly, printable(target(connection).Value))
	}
	return head
}

func encode(doc *yaml.Node) ([]byte, error) {
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := enc.Encode(doc); err != nil {
		return nil, fmt.Errorf("write configuration: %w", err)
	}
	if err := enc.Close(); err != nil {
		return nil, fmt.Errorf("write configuration: %w", err)
	}
	return out.Bytes(), nil
}

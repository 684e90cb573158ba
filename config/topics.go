package config

import (
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A publication is its name alone, or a mapping.
func (p *Publication) decodeNode(d *decoder, n *yaml.Node, path string) {
	if n.Kind == yaml.ScalarNode {
		d.scalar(n, path, reflect.ValueOf(&p.Name).Elem())
		return
	}
	d.section(n, path, reflect.ValueOf(p).Elem())
}

// The rules keep the order of the file: the first that matches counts.
func (m *TopicsMap) decodeNode(d *decoder, n *yaml.Node, path string) {
	*m = nil
	d.pairs(n, path, entry, func(name string, key, value *yaml.Node) {
		at := entry(path, name)
		d.origins[at] = d.at(key)
		rule := TopicRule{Match: name}
		d.value(value, at, reflect.ValueOf(&rule.Topic).Elem())
		*m = append(*m, rule)
	})
}

// A mask that says null may say so without quotes.
func (m *Mask) decodeNode(d *decoder, n *yaml.Node, path string) {
	if n.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(n.Content); i += 2 {
			if isNull(n.Content[i+1]) && strings.EqualFold(n.Content[i].Value, "with") {
				m.With = MaskNull
			}
		}
	}
	d.section(n, path, reflect.ValueOf(m).Elem())
}

// Each publisher begins with the defaults of one that stands alone.
func (p *Publishers) decodeNode(d *decoder, n *yaml.Node, path string) {
	decodeItems(d, n, path, (*[]Publisher)(p), func(at string, item *yaml.Node, v *Publisher) {
		*v = defaultPublisher()
		d.section(item, at, reflect.ValueOf(v).Elem())
	})
}

// Each destination begins with the defaults of one that stands alone.
func (l *Destinations) decodeNode(d *decoder, n *yaml.Node, path string) {
	decodeItems(d, n, path, (*[]Destination)(l), func(at string, item *yaml.Node, v *Destination) {
		*v = defaultDestination()
		d.section(item, at, reflect.ValueOf(v).Elem())
	})
}

// A destination in a rule is its name alone, or written out.
func (r *DestinationRef) decodeNode(d *decoder, n *yaml.Node, path string) {
	if n.Kind == yaml.ScalarNode {
		d.scalar(n, path, reflect.ValueOf(&r.Ref).Elem())
		if r.Ref == "" {
			d.problem(path, "is empty; name a destination or write one out")
		}
		return
	}
	r.Destination = defaultDestination()
	d.section(n, path, reflect.ValueOf(&r.Destination).Elem())
}

// decodeItems decodes a list of mappings, item by item.
func decodeItems[T any](d *decoder, n *yaml.Node, path string, list *[]T, one func(at string, item *yaml.Node, v *T)) {
	if n.Kind != yaml.SequenceNode {
		d.problem(path, "expected a list, not %s", kindOf(n))
		return
	}
	*list = make([]T, len(n.Content))
	for i, item := range n.Content {
		at := entry(path, strconv.Itoa(i))
		d.origins[at] = d.at(item)
		one(at, target(item), &(*list)[i])
	}
}

package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// The keys of an activation file, setu's configuration: those at its top, with
// the sections of walherald that may stand beside them, and those of its source.
// Rules are walherald's own, which take all that setu's have.
var (
	activationKeys = []string{"pg_connection", "replication_slot", "publication", "source", "rules", "secrets", "logger", "monitoring"}
	sourceKeys     = []string{"type", "connection", "replication_slot", "publication"}
)

// isActivation tells an activation file by the keys at its top.
func isActivation(root *yaml.Node) bool {
	if root.Kind != yaml.MappingNode {
		return false
	}
	has := func(name string) bool { return valueOf(root, name) != nil }
	return has("rules") && (has("pg_connection") || has("source")) && !has("listener") && !has("database")
}

// valueOf returns the value of a key of a mapping, nil if it has none.
func valueOf(mapping *yaml.Node, name string) *yaml.Node {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if strings.EqualFold(mapping.Content[i].Value, name) {
			return mapping.Content[i+1]
		}
	}
	return nil
}

// pair is a key of a mapping and its value; both are nil if there is none.
type pair struct{ key, value *yaml.Node }

// translation leads from the path of a key, and all below, to where an activation
// file has it.
type translation struct{ ours, theirs string }

// translate puts the path of a problem with the file into the file's own words.
func (p *Problem) translate(file string, translations []translation) {
	if p.Source != file {
		return
	}
	for _, t := range translations {
		rest, below := strings.CutPrefix(p.Path, t.ours)
		if below && (rest == "" || rest[0] == '.' || rest[0] == '[') {
			p.Path = t.theirs + rest
			return
		}
	}
}

// activation turns the tree of an activation file into that of a configuration.
// The values are the file's own nodes, so that problems name its lines.
func (d *decoder) activation(root *yaml.Node) *yaml.Node {
	top := d.known(root, "", activationKeys)
	from, section := top, ""
	connection := top["pg_connection"]
	if source := top["source"]; source.value != nil {
		section = "source"
		d.origins[section], d.origins["database"] = d.at(source.key), d.at(source.key)
		from = d.known(target(source.value), section, sourceKeys)
		connection = from["connection"]
		d.supersede(top)
		d.sourceType(source, from["type"])
	}
	slot, publication, rules := from["replication_slot"], from["publication"], top["rules"]
	d.translateTo(section)
	if rules.value != nil {
		d.destinations(target(rules.value))
	}

	out := mappingNode(nil, root)
	add(out, "listener", top["source"].key, listenerNode(slot, publication, root))
	if connection.value != nil {
		add(out, "database", connection.key, d.database(connection))
	}
	notifier := mappingNode(nil, root)
	add(notifier, "rules", rules.key, rules.value)
	add(out, "notifier", nil, notifier)
	for _, name := range []string{"secrets", "logger", "monitoring"} {
		add(out, name, top[name].key, top[name].value)
	}
	return out
}

// listenerNode makes the section listener.
func listenerNode(slot, publication pair, root *yaml.Node) *yaml.Node {
	listener := mappingNode(nil, root)
	add(listener, "slotName", slot.key, slot.value)
	if publication.value != nil {
		name := mappingNode(publication.key, root)
		add(name, "name", nil, publication.value)
		add(listener, "publication", publication.key, name)
	}
	return listener
}

// known returns the entries of a mapping, without those that are null, and
// refuses keys that are none of names.
func (d *decoder) known(n *yaml.Node, path string, names []string) map[string]pair {
	found := make(map[string]pair)
	d.pairs(n, path, join, func(name string, key, value *yaml.Node) {
		switch {
		case !slices.Contains(names, name):
			d.problemAt(d.at(key), join(path, name), "unknown key; %s", among(name, names))
		case !isNull(target(value)):
			found[name] = pair{key, value}
		}
	})
	return found
}

// among points from an unknown name to those of an activation file.
func among(name string, names []string) string {
	if near := nearest(name, names); near != "" {
		return "did you mean " + strconv.Quote(near) + "?"
	}
	return "known here: " + strings.Join(names, ", ") + "; walherald convert makes a file that takes all other keys"
}

// supersede warns of the keys that have no effect where there is a source.
func (d *decoder) supersede(top map[string]pair) {
	for _, name := range activationKeys[:3] {
		if key := top[name].key; key != nil {
			p := Problem{d.source, key.Line, name, "has no effect: source is there too"}
			d.warnings = append(d.warnings, p.Error())
		}
	}
}

func (d *decoder) sourceType(source, kind pair) {
	at := source.key
	if kind.key != nil {
		at = kind.key
	}
	wrong := kind.value == nil || target(kind.value).Value != "postgres"
	if wrong && target(source.value).Kind == yaml.MappingNode {
		d.problemAt(d.at(at), "source.type", `must be "postgres"`)
	}
}

// translateTo names the keys as the file does in section, "" for its top.
func (d *decoder) translateTo(section string) {
	connection := "pg_connection"
	if section != "" {
		connection = join(section, "connection")
	}
	for _, k := range connectionKeys {
		d.translations = append(d.translations, translation{"database." + k.key, entry(connection, k.keyword)})
	}
	d.translations = append(d.translations,
		translation{"database", connection},
		translation{"listener.slotName", join(section, "replication_slot")},
		translation{"listener.publication", join(section, "publication")},
		translation{"notifier.rules", "rules"})
}

// destinations gives every destination of the rules what setu does where
// walherald's default is another.
func (d *decoder) destinations(rules *yaml.Node) {
	if rules.Kind != yaml.SequenceNode {
		return
	}
	for i, rule := range rules.Content {
		if rule = target(rule); rule.Kind != yaml.MappingNode {
			continue
		}
		at := notifierItem("rules", i)
		d.conditions(rule, at)
		if to := valueOf(rule, "destination"); to != nil {
			d.destination(target(to), join(at, "destination"))
		}
		if several := valueOf(rule, "destinations"); several != nil {
			for j, to := range target(several).Content {
				d.destination(target(to), entry(join(at, "destinations"), strconv.Itoa(j)))
			}
		}
	}
}

// conditions takes out those that name a field and no value, which setu lets hold
// always.
func (d *decoder) conditions(rule *yaml.Node, at string) {
	list := valueOf(rule, "conditions")
	if list == nil || target(list).Kind != yaml.SequenceNode {
		return
	}
	list = target(list)
	list.Content = slices.DeleteFunc(list.Content, func(n *yaml.Node) bool {
		n = target(n)
		if n.Kind != yaml.MappingNode || valueOf(n, "field") == nil {
			return false
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if !strings.EqualFold(n.Content[i].Value, "field") && !isNull(target(n.Content[i+1])) {
				return false
			}
		}
		d.warn(n, join(at, "conditions"), "has a condition without a value, which always holds and is left out")
		return true
	})
}

// warn notes what is odd and does no harm.
func (d *decoder) warn(n *yaml.Node, path, text string) {
	p := Problem{d.source, n.Line, path, text}
	p.translate(d.source, d.translations)
	d.warnings = append(d.warnings, p.Error())
}

// channel puts the channel of a destination that is no Slack channel where setu
// has it: a webhook sends it as a header, Telegram ignores it.
func (d *decoder) channel(n *yaml.Node, kind, path string) {
	i := slices.IndexFunc(n.Content, func(key *yaml.Node) bool { return strings.EqualFold(key.Value, "channel") })
	if i < 0 || i%2 != 0 || i+1 >= len(n.Content) {
		return
	}
	key, value := n.Content[i], n.Content[i+1]
	n.Content = slices.Delete(n.Content, i, i+2)
	if kind != DestinationWebhook || isNull(target(value)) {
		d.warn(key, join(path, "channel"), "has no effect for type "+kind)
		return
	}
	headers := valueOf(n, "headers")
	if headers == nil || isNull(target(headers)) {
		headers = mappingNode(key, nil)
		add(n, "headers", key, headers)
	}
	addMissing(target(headers), "channel", value)
}

func (d *decoder) destination(n *yaml.Node, path string) {
	kind := &yaml.Node{}
	if n.Kind != yaml.MappingNode {
		return
	}
	if given := valueOf(n, "type"); given != nil {
		kind = target(given)
	}
	switch strings.ToLower(kind.Value) {
	case DestinationWebhook:
		addMissing(n, "envelope", textNode(EnvelopeSetu, n))
		d.channel(n, DestinationWebhook, path)
	case DestinationTelegram:
		d.channel(n, DestinationTelegram, path)
	case DestinationSlack, "":
	default:
		d.problemAt(d.at(kind), join(path, "type"), "is none of webhook, slack, telegram; setu takes any other for webhook, so write that if it is meant")
	}
	addMissing(n, "allowPrivate", &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: "true", Line: n.Line})
	addMissing(n, "timeout", textNode("30s", n))
}

// textNode, mappingNode and add make nodes that stand on the lines of others.
func textNode(text string, at *yaml.Node) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text, Line: at.Line}
}

func mappingNode(at, or *yaml.Node) *yaml.Node {
	if at == nil {
		at = or
	}
	return &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Line: at.Line}
}

// add appends an entry, unless there is no value. Line and comments of the key
// are those of from; without one it stands where the value does.
func add(mapping *yaml.Node, name string, from, value *yaml.Node) {
	if value == nil {
		return
	}
	key := textNode(name, value)
	if from != nil {
		key.Line = from.Line
		key.HeadComment, key.LineComment, key.FootComment = from.HeadComment, from.LineComment, from.FootComment
	}
	mapping.Content = append(mapping.Content, key, value)
}

func addMissing(mapping *yaml.Node, name string, value *yaml.Node) {
	if valueOf(mapping, name) == nil {
		add(mapping, name, nil, value)
	}
}

// database turns the connection into the section database.
func (d *decoder) database(connection pair) *yaml.Node {
	n, at := target(connection.value), d.at(connection.key)
	out := mappingNode(connection.key, nil)
	if n.Kind != yaml.ScalarNode {
		d.problemAt(at, "database", "expected text, not %s", kindOf(n))
		return out
	}
	text := n.Value
	if isPlaceholder(text) {
		whole, missed := expand(text, d.secrets.value)
		if len(missed) > 0 {
			for _, m := range missed {
				d.problemAt(at, "database", "%s", m)
			}
			return out
		}
		text = escape(whole)
	}
	settings, err := parseConnection(text)
	if err != nil {
		d.problemAt(at, "database", "%v", err)
		return out
	}
	for _, name := range settings.ignored {
		p := Problem{d.source, connection.key.Line, "database", fmt.Sprintf("%s has no effect here", name)}
		p.translate(d.source, d.translations)
		d.warnings = append(d.warnings, p.Error())
	}
	settings.addTo(out, connection.value)
	return out
}

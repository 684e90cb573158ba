package listener

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// filters checks what the filters and the include list name.
func (p *preflight) filters(c *catalog) {
	type list struct {
		path   string
		tables map[string][]string
	}
	lists := []list{{"listener.filter.tables", p.cfg.Filter.Tables}, {"listener.include.tables", p.cfg.Include.Tables}}
	for _, r := range p.routes {
		lists = append(lists, list{r.Section + ".filter.tables", r.Filter.Tables})
	}
	for _, list := range lists {
		lacking := map[string][]string{} // from an action to entries that want it
		for _, name := range slices.Sorted(maps.Keys(list.tables)) {
			p.tableEntry(c, at(list.path, name), name)
			for _, action := range list.tables[name] {
				if !p.publishes(strings.ToLower(action)) {
					lacking[action] = append(lacking[action], name)
				}
			}
		}
		for _, action := range slices.Sorted(maps.Keys(lacking)) {
			p.Warn(list.path, "let the publication's owner run: ALTER PUBLICATION "+quoteIdent(p.publication)+" SET (publish = '"+
				strings.Join(append(slices.Clone(p.info.Actions), strings.ToLower(action)), ", ")+"'); or remove the action",
				"the list asks for %s, which publication %q does not publish: %s", action, p.publication, someOf(lacking[action]))
		}
	}
}

// tableEntry warns of an entry of the filter whose table no change is published
// of.
func (p *preflight) tableEntry(c *catalog, path, name string) {
	found := c.byName[name]
	if len(found) == 0 {
		p.noTable(c, path, name, c.byFold[strings.ToLower(name)])
		return
	}
	if slices.ContainsFunc(found, func(t *tableState) bool { return t.toldAs == t }) {
		return
	}
	t := found[0]
	switch {
	case !t.logged:
		p.Warn(path, "let its owner run: ALTER TABLE "+quoteTableState(t)+" SET LOGGED; or remove the entry",
			"table %s is unlogged: its changes are never in the log", t)
	case p.elsewhere(c, path, t):
	default:
		p.Warn(path, "let the publication's owner run: ALTER PUBLICATION "+quoteIdent(p.publication)+" ADD TABLE "+quoteTableState(t)+"; or remove the entry",
			"publication %q does not publish table %s", p.publication, t)
	}
}

// elsewhere warns of an entry for a table whose changes come under another
// name, and reports whether they do.
func (p *preflight) elsewhere(c *catalog, path string, t *tableState) bool {
	if t.toldAs != nil && t.toldAs != t {
		p.Warn(path, "name "+t.toldAs.String(), "changes of %s are published as those of %s, which it is part of", t, t.toldAs)
		return true
	}
	parts := names(c.tables, func(part *tableState) bool { return part.toldAs == part && part.isPartOf(t) })
	if t.toldAs == nil && t.partitioned && len(parts) > 0 {
		p.Warn(path, "name the partitions, or publish through the partitioned table: listener.publication.viaPartitionRoot",
			"changes of partitioned table %s are published as those of its partitions: %s", t, someOf(parts))
		return true
	}
	return false
}

func (t *tableState) isPartOf(whole *tableState) bool {
	for a := t.parent; a != nil; a = a.parent {
		if a == whole {
			return true
		}
	}
	return false
}

// noTable warns of a name that no table has. similar are those that have it in
// another case.
func (p *preflight) noTable(c *catalog, path, name string, similar []*tableState) {
	remedy := "correct or remove it"
	if _, relation, qualified := strings.Cut(name, "."); len(similar) == 0 && qualified {
		similar = c.byFold[strings.ToLower(relation)]
	}
	if len(similar) > 0 {
		remedy = fmt.Sprintf("did you mean %s?", similar[0])
	}
	p.Warn(path, remedy, "no table has the name %s", name)
}

// exclusions checks the schemas and tables that are excluded or masked. One
// that is not published at all is left out as is wanted.
func (p *preflight) exclusions(ctx context.Context, c *catalog) error {
	if err := p.excludedSchemas(ctx); err != nil {
		return err
	}
	for i, name := range p.cfg.Exclude.Tables {
		p.foldedEntry(c, at("listener.exclude.tables", i), name)
	}
	for i, m := range p.cfg.Mask {
		if m.Table != "*" {
			p.foldedEntry(c, at("listener.mask", i)+".table", m.Table)
		}
	}
	return nil
}

// foldedEntry warns of a name, whose case is no matter, that hides nothing.
func (p *preflight) foldedEntry(c *catalog, path, name string) {
	found := c.byFold[strings.ToLower(name)]
	if len(found) == 0 {
		p.noTable(c, path, name, nil)
		return
	}
	if !slices.ContainsFunc(found, func(t *tableState) bool { return t.toldAs == t }) {
		p.elsewhere(c, path, found[0])
	}
}

func (p *preflight) excludedSchemas(ctx context.Context) error {
	if len(p.cfg.Exclude.Schemas) == 0 {
		return nil
	}
	rows, err := p.link.query(ctx, "SELECT nspname FROM pg_catalog.pg_namespace")
	if err != nil {
		return err
	}
	for i, name := range p.cfg.Exclude.Schemas {
		if !slices.ContainsFunc(rows, func(r []string) bool { return strings.EqualFold(r[0], name) }) {
			p.Warn(at("listener.exclude.schemas", i), "correct or remove it", "no schema has the name %s", name)
		}
	}
	return nil
}

func quoteTableState(t *tableState) string { return quoteIdent(t.schema) + "." + quoteIdent(t.name) }

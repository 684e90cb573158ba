package listener

import (
	"context"
	"slices"
	"strings"
)

// readNames reads publication and slot.
func (p *preflight) readNames(ctx context.Context) (err error) {
	if p.publication, p.published, err = p.link.choosePublication(ctx, p.cfg.Publication); err != nil {
		return err
	}
	if p.published {
		if p.info, err = p.link.readPublication(ctx, p.publication); err != nil {
			return err
		}
	}
	p.slot, err = p.link.readSlot(ctx, p.cfg.SlotName)
	return err
}

func (p *preflight) checkPublication(ctx context.Context) error {
	switch {
	case p.published:
		return p.existingPublication(ctx)
	case p.slot.exists:
		return nil // judgeSlot refuses that
	case p.standby:
		p.Fail("listener.publication", "create it on the primary", "publication %q does not exist, and a standby cannot create it", p.publication)
		return nil
	}
	return p.newPublication(ctx)
}

// existingPublication tells what a publication publishes and where that is not
// what is configured.
func (p *preflight) existingPublication(ctx context.Context) error {
	p.OK("listener.publication", "publication %q exists and publishes %s of %s", p.publication, strings.Join(p.info.Actions, ", "), p.info.scope())
	changes, err := p.link.comparePublication(ctx, p.info, p.cfg.Publication)
	if err != nil {
		return err
	}
	for _, c := range changes {
		if !p.cfg.Publication.Alter || !c.alterable {
			p.Findings = append(p.Findings, c.finding(p.publication))
			continue
		}
		if err := p.mayAlter(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// scope says which tables a publication names.
func (p PublicationInfo) scope() string {
	if p.AllTables {
		return "all tables"
	}
	var named []string
	for _, t := range p.Tables {
		named = append(named, t.Schema+"."+t.Name)
	}
	for _, s := range p.Schemas {
		named = append(named, "all tables of schema "+s)
	}
	if named == nil {
		return "no table"
	}
	return someOf(named)
}

// mayAlter judges whether a start could alter the publication.
func (p *preflight) mayAlter(ctx context.Context, c publicationChange) error {
	sql := strings.Join(c.sql, "; ")
	switch {
	case p.standby:
		p.Warn(c.path, "let its owner run on the primary: "+sql, "publication %q %s, and a standby cannot alter it", p.publication, c.what)
		return nil
	case !p.info.mayOwn:
		p.Fail(c.path, "let its owner run: "+sql+"; or remove listener.publication.alter",
			"publication %q %s, and role %s may not alter it: it belongs to %s", p.publication, c.what, p.db.User, p.info.Owner)
		return nil
	}
	found, err := p.link.judgeTables(ctx, c.names, p.db.User)
	if err != nil || len(found) > 0 {
		p.Findings = append(p.Findings, found...)
		return err
	}
	p.OK(c.path, "publication %q %s and would be altered: %s", p.publication, c.what, sql)
	return nil
}

// newPublication judges whether the role could create the publication.
func (p *preflight) newPublication(ctx context.Context) error {
	found, err := p.link.judgeCreate(ctx, p.publication, p.cfg.Publication)
	p.Findings = append(p.Findings, found...)
	if err != nil || len(found) > 0 {
		return err
	}
	scope := "all tables"
	if tables := p.cfg.Publication.Tables; len(tables) > 0 {
		scope = someOf(tables)
	}
	p.OK("listener.publication", "publication %q does not exist and would be created for %s", p.publication, scope)
	return nil
}

// publishes reports whether an action is published, once the publication is
// there.
func (p *preflight) publishes(action string) bool {
	return !p.published || slices.Contains(p.info.Actions, action)
}

// asConfigured reports whether the publication will be made, or altered, to what
// is configured.
func (p *preflight) asConfigured() bool {
	return !p.published || p.cfg.Publication.Alter && !p.standby
}

// viaRoot reports whether changes of partitions are published as those of the
// table they are part of.
func (p *preflight) viaRoot() bool {
	if p.asConfigured() {
		return p.cfg.Publication.ViaPartitionRoot
	}
	return p.info.ViaPartitionRoot
}

// listedSQL is the condition, on pg_class c, of what the publication names.
func (p *preflight) listedSQL() string {
	tables := p.cfg.Publication.Tables
	switch {
	case p.published && p.info.AllTables, !p.published && len(tables) == 0:
		return "true"
	case p.asConfigured() && len(tables) > 0:
		return "c.oid IN (SELECT c.oid " + fromNames(tables) + ")"
	}
	sql := "c.oid IN (SELECT prrelid FROM pg_catalog.pg_publication_rel WHERE prpubid = " + p.info.oid + ")"
	if p.link.version >= 150000 {
		sql += " OR c.relnamespace IN (SELECT pnnspid FROM pg_catalog.pg_publication_namespace WHERE pnpubid = " + p.info.oid + ")"
	}
	return sql
}

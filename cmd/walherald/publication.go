package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/listener"
)

// publicationCommand looks at the publication by hand.
func publicationCommand(path *string) *cobra.Command {
	publication := &cobra.Command{
		Use:   "publication",
		Short: "Look at the publication: show",
		Long: `Look at the publication, which says on the server which tables and actions the slot
reads. The service makes one that is missing.`,
		Example: `  walherald publication show -c config.yml`,
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	publication.AddCommand(&cobra.Command{
		Use:   "show",
		Short: "Show what the publication publishes and where that is not what is configured; changes nothing",
		Long: `Show what the publication publishes and where that is not what is configured;
changes nothing.

It asks the database for the tables, actions, columns and row filters of the
publication, and tells of each difference from listener.publication what to do about it.
It ends with 1 if there is no publication or no answer.`,
		Example: `  walherald publication show -c config.yml`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(*path)
			if err != nil {
				return &runError{err: err}
			}
			info, err := listener.ShowPublication(cmd.Context(), cfg.Listener, cfg.Database)
			if err == nil {
				err = printPublication(cmd.OutOrStdout(), info)
			}
			return failed(err)
		},
	})
	return publication
}

// printPublication prints a publication, one table a line, and what differs
// from the configuration below it.
func printPublication(w io.Writer, p listener.PublicationInfo) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, value string) { fmt.Fprintf(t, "%s\t%s\n", name, oneLine(value)) }
	row("publication", p.Name)
	row("owner", p.Owner)
	actions := "nothing"
	if len(p.Actions) > 0 {
		actions = strings.Join(p.Actions, ", ")
	}
	row("publishes", actions)
	row("via partition root", fmt.Sprint(p.ViaPartitionRoot))
	switch {
	case p.AllTables:
		row("tables", "all")
	case len(p.Tables)+len(p.Schemas) == 0:
		row("tables", "none")
	}
	for _, table := range p.Tables {
		row("table", publishedTable(table))
	}
	for _, schema := range p.Schemas {
		row("tables of schema", schema)
	}
	for _, d := range p.Differences {
		row("differs", d.Path+": "+d.What)
		row("", d.Remedy)
	}
	return t.Flush()
}

// publishedTable writes a table as CREATE PUBLICATION takes it.
func publishedTable(t listener.PublishedTable) string {
	s := t.Schema + "." + t.Name
	if t.Columns != "" {
		s += " (" + t.Columns + ")"
	}
	if t.Filter != "" {
		s += " WHERE " + t.Filter
	}
	return s
}

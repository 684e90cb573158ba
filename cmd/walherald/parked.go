package main

import (
	"bufio"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/internal/service"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/notifier/parking"
)

// parkedCommand looks after parked notifications by hand.
func parkedCommand(path *string) *cobra.Command {
	parked := &cobra.Command{
		Use:   "parked",
		Short: "Look after notifications that could not be delivered: list, show, retry, drop",
		Long: `Look after notifications that could not be delivered and were kept.

Those in the table of listener.schema are tried again by the service, by the schedule of
notifier.parking; with store topic they wait for somebody. All selections that are given
must hold. These commands work beside the running service.`,
		Example: `  walherald parked list -c config.yml
  walherald parked retry --destination billing`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	parked.AddCommand(parkedListCommand(path), parkedShowCommand(path), parkedRetryCommand(path), parkedDropCommand(path))
	return parked
}

// parkedFlags select parked notifications.
type parkedFlags struct {
	filter parking.Filter
	ids    []string
	wait   time.Duration
	all    bool
}

// add adds the flags to a command.
func (f *parkedFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.filter.Rule, "rule", "", "those that this rule selected")
	flags.StringVar(&f.filter.Destination, "destination", "", "those for this destination")
	flags.DurationVar(&f.filter.OlderThan, "older-than", 0, "those that were parked longer ago, such as 90m or 24h")
	flags.StringSliceVar(&f.ids, "id", nil, "those of the events with these ids")
	flags.DurationVar(&f.wait, "wait", 5*time.Second, "with store topic: the topic counts as read when nothing has come for so long")
}

// addAll adds the flag without which a command does nothing to everything.
func (f *parkedFlags) addAll(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.all, "all", false, "all of them")
}

// parse reads the ids. It is an error of the command line if a filter is needed
// and there is none.
func (f *parkedFlags) parse(needed bool) error {
	for _, text := range f.ids {
		id, err := publisher.ParseID(text)
		if err != nil {
			return fmt.Errorf("--id: %w", err)
		}
		f.filter.IDs = append(f.filter.IDs, id)
	}
	if f.filter.OlderThan < 0 || f.filter.Limit < 0 || f.wait <= 0 {
		return errors.New("--older-than and --limit must not be negative, and --wait must be longer than 0")
	}
	none := f.filter.Rule == "" && f.filter.Destination == "" && f.filter.OlderThan == 0 && len(f.ids) == 0
	switch {
	case needed && none && !f.all:
		return errors.New("select with --rule, --destination, --older-than or --id, or say --all")
	case f.all && !none:
		return errors.New("--all goes with no other selection")
	}
	return nil
}

// load reads the flags and the configuration.
func (f *parkedFlags) load(path string, needed bool) (*config.Config, error) {
	if err := f.parse(needed); err != nil {
		return nil, err
	}
	cfg, err := config.Load(path)
	return cfg, failed(err)
}

func (f *parkedFlags) options(cmd *cobra.Command) service.ParkedOptions {
	return service.ParkedOptions{Wait: f.wait, Log: slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))}
}

func parkedListCommand(path *string) *cobra.Command {
	var f parkedFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List parked notifications, the earliest event first; changes nothing",
		Long: `List parked notifications, the earliest event first; changes nothing.

Each line has the event's id, rule and destination, how often it was tried, why it
failed and when it is tried again. It ends with 1 if they cannot be read.`,
		Example: `  walherald parked list -c config.yml
  walherald parked list --destination billing --older-than 24h
  walherald parked list --json --limit 0 | jq -r .reason | sort | uniq -c`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := f.load(*path, false)
			if err != nil {
				return err
			}
			all, err := service.ListParked(cmd.Context(), cfg, f.filter, f.options(cmd))
			if err != nil {
				return &runError{err: err}
			}
			if !asJSON {
				return failed(printParked(cmd.OutOrStdout(), all, f.filter.Limit))
			}
			w := bufio.NewWriter(cmd.OutOrStdout())
			for i := range all {
				if err := printParkedJSON(w, &all[i].Parked, all[i].Size); err != nil {
					return &runError{err: err}
				}
			}
			return failed(w.Flush())
		},
	}
	f.add(cmd)
	cmd.Flags().IntVar(&f.filter.Limit, "limit", 100, "at most so many; 0 means all")
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object a line, for scripts")
	return cmd
}

func parkedShowCommand(path *string) *cobra.Command {
	var f parkedFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Show a parked notification with its payload; changes nothing",
		Long: `Show a parked notification with its payload; changes nothing.

It is named by the id of its event, as list shows it; where several rules or
destinations have the same event, all of them are shown, or those that --rule and
--destination select. It ends with 1 if there is none.`,
		Example: `  walherald parked show 00000000-1925-8fb8-8000-000001adbd89
  walherald parked show --destination billing 00000000-1925-8fb8-8000-000001adbd89`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.ids = append(f.ids, args...)
			if err := f.parse(false); err != nil {
				return err
			}
			if len(f.filter.IDs) != 1 {
				return errors.New("name one event by its id, as list shows it")
			}
			cfg, err := config.Load(*path)
			if err != nil {
				return &runError{err: err}
			}
			all, err := service.GetParked(cmd.Context(), cfg, f.filter.IDs[0], f.filter, f.options(cmd))
			if err == nil && len(all) == 0 {
				err = fmt.Errorf("no notification of event %s is parked", f.filter.IDs[0])
			}
			if err != nil {
				return &runError{err: err}
			}
			return failed(showParked(cmd.OutOrStdout(), all, asJSON))
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object a line, for scripts")
	return cmd
}

func parkedRetryCommand(path *string) *cobra.Command {
	var f parkedFlags
	cmd := &cobra.Command{
		Use:   "retry",
		Short: "Deliver parked notifications now, one attempt each, and say what came of it",
		Long: `Deliver parked notifications now, one attempt each, and say what came of it.

It is for when the receiver has been mended. Those that are delivered are parked no
longer; those that fail stay. Say which ones, or --all. It ends with 1 if an attempt
failed.`,
		Example: `  walherald parked retry --destination billing
  walherald parked retry --rule paid --older-than 90m
  walherald parked retry --all`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := f.load(*path, true)
			if err != nil {
				return err
			}
			t := tally{w: cmd.OutOrStdout()}
			if err := service.RetryParked(cmd.Context(), cfg, f.filter, f.options(cmd), t.count); err != nil {
				return &runError{err: err}
			}
			return t.result()
		},
	}
	f.add(cmd)
	f.addAll(cmd)
	return cmd
}

func parkedDropCommand(path *string) *cobra.Command {
	var f parkedFlags
	var yes bool
	cmd := &cobra.Command{
		Use:   "drop",
		Short: "Give up parked notifications: they are never delivered",
		Long: `Give up parked notifications: they are never delivered.

Say which ones, or --all. Without --yes it only says which they would be, and ends with
1 if there are any. Messages in a topic cannot be dropped.`,
		Example: `  walherald parked drop --rule paid
  walherald parked drop --destination billing --older-than 720h --yes`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := f.load(*path, true)
			if err != nil {
				return err
			}
			if yes || cfg.Notifier.Parking.Store == config.StoreTopic { // which says that it cannot
				n, err := service.DropParked(cmd.Context(), cfg, f.filter)
				if err == nil {
					fmt.Fprintf(cmd.OutOrStdout(), "dropped: %d\n", n)
				}
				return failed(err)
			}
			all, err := service.ListParked(cmd.Context(), cfg, f.filter, f.options(cmd))
			if err != nil {
				return &runError{err: err}
			}
			return wouldDrop(cmd.OutOrStdout(), all)
		},
	}
	f.add(cmd)
	f.addAll(cmd)
	cmd.Flags().BoolVar(&yes, "yes", false, "do it")
	return cmd
}

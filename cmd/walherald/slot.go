package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/listener"
)

// slotCommand looks after the replication slot by hand.
func slotCommand(path *string) *cobra.Command {
	slot := &cobra.Command{
		Use:   "slot",
		Short: "Look after the replication slot: status, drop, advance",
		Long: `Look after the replication slot, which keeps the log on the server until walherald
has delivered it. The service makes one that is missing at its first start.

Without --yes, drop and advance only say what they would give up.`,
		Example: `  walherald slot status -c config.yml
  walherald slot advance --to 0/1A2B3C8 --yes`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	slot.AddCommand(slotStatusCommand(path), slotDropCommand(path), slotAdvanceCommand(path))
	return slot
}

func slotStatusCommand(path *string) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show how far the slot was read, what it keeps and who reads it; changes nothing",
		Long: `Show how far the slot was read, what it keeps and who reads it; changes nothing.

It works beside the running service. It says how much log the slot keeps on the server,
how much more there can be until the server gives the slot up, what is remembered, and
whether a start would refuse the slot and why. It ends with 1 if there is no slot or a
start would refuse it.`,
		Example: `  walherald slot status -c config.yml`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(*path)
			if err != nil {
				return &runError{err: err}
			}
			info, err := listener.SlotStatus(cmd.Context(), cfg.Listener, cfg.Database)
			if err == nil {
				err = printSlot(cmd.OutOrStdout(), info)
			}
			if err == nil && (!info.Exists || info.Refusal != "") {
				return &runError{err: errSlot, told: true}
			}
			return failed(err)
		},
	}
}

// errSlot says that the slot is not as a start would want it.
var errSlot = errors.New("slot cannot serve")

// failed makes an error one of the work.
func failed(err error) error {
	if err == nil {
		return nil
	}
	return &runError{err: err}
}

func printSlot(w io.Writer, s listener.SlotInfo) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) { fmt.Fprintf(t, name+"\t"+format+"\n", args...) }
	row("slot", "%s", s.Name)
	if s.Exists {
		row("database", "%s, plugin %s", s.Database, s.Plugin)
		row("confirmed", "%s, %s behind the end of the log", listener.FormatLSN(s.Confirmed), sizeOf(s.Behind))
		row("keeps log from", "%s, %s (%s)", listener.FormatLSN(s.Restart), sizeOf(s.Retained), s.WALStatus)
		if s.Left >= 0 {
			row("until invalidated", "%s more", sizeOf(uint64(s.Left)))
		}
		row("failover copy", "%t", s.Failover)
		row("read by", "%s", orNone(s.Holder))
	} else {
		row("exists", "no")
	}
	remembered := "nothing"
	if s.Remembered != 0 {
		remembered = listener.FormatLSN(s.Remembered)
	}
	row("remembered", "%s", remembered)
	row("log ends at", "%s", listener.FormatLSN(s.End))
	if s.Refusal != "" {
		row("a start refuses", "%s", s.Refusal)
	}
	return t.Flush()
}

func orNone(s string) string {
	if s == "" {
		return "nobody"
	}
	return s
}

// sizeOf prints a size in the unit that keeps it readable.
func sizeOf(n uint64) string {
	const unit = 1024
	value, i := float64(n), 0
	names := []string{"bytes", "KiB", "MiB", "GiB", "TiB"}
	for value >= unit && i < len(names)-1 {
		value /= unit
		i++
	}
	if i == 0 {
		return fmt.Sprintf("%d bytes", n)
	}
	return fmt.Sprintf("%.1f %s", value, names[i])
}

// errUnconfirmed asks for the flag without which nothing is given up.
var errUnconfirmed = errors.New("add --yes to do it")

func slotDropCommand(path *string) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "drop",
		Short: "Drop the slot and forget it: what it has not given yet is lost",
		Long: `Drop the slot and forget it: what it has not given yet is lost.

It is for a walherald that is given up: a slot that nobody reads keeps the log until the
disk is full. The next start is a first start, with a new slot. Stop the service before.
Without --yes it only says what would be lost, and ends with 1.`,
		Example: `  walherald slot drop -c config.yml
  walherald slot drop -c config.yml --yes`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withSlot(cmd, *path, yes, "drop slot %s and give up %s of log behind %s", func(ctx context.Context, cfg *config.Config) error {
				before, err := listener.DropSlot(ctx, cfg.Listener, cfg.Database)
				if err == nil {
					fmt.Fprintf(cmd.OutOrStdout(), "slot %s is dropped; it was confirmed up to %s\n", before.Name, listener.FormatLSN(before.Confirmed))
				}
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do it")
	return cmd
}

func slotAdvanceCommand(path *string) *cobra.Command {
	var yes bool
	var to string
	cmd := &cobra.Command{
		Use:   "advance",
		Short: "Move the slot forward: changes before the new position are never sent",
		Long: `Move the slot forward: changes before the new position are never sent.

It is for a change that cannot be delivered and is not wanted, and for a slot that has
fallen behind too far to be worth reading. Stop the service before. Without --yes it only
says what would be given up, and ends with 1.`,
		Example: `  walherald slot advance -c config.yml --to 0/1A2B3C8
  walherald slot advance -c config.yml --to end --yes`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var lsn uint64
			if to != "end" {
				var err error
				if lsn, err = listener.ParseLSN(to); err != nil {
					return fmt.Errorf("--to: %w; give a position such as 0/16B3748, or end", err)
				}
			}
			return withSlot(cmd, *path, yes, "advance slot %s and give up some of the %s of log behind %s", func(ctx context.Context, cfg *config.Config) error {
				before, reached, err := listener.AdvanceSlot(ctx, cfg.Listener, cfg.Database, lsn)
				if err == nil {
					fmt.Fprintf(cmd.OutOrStdout(), "slot %s is advanced from %s to %s\n", before.Name,
						listener.FormatLSN(before.Confirmed), listener.FormatLSN(reached))
				}
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do it")
	cmd.Flags().StringVar(&to, "to", "", "the position, such as 0/16B3748, or end for the end of the log")
	if err := cmd.MarkFlagRequired("to"); err != nil {
		panic(err) // there is no such flag
	}
	return cmd
}

// withSlot runs change if yes; otherwise it says what that would cost.
func withSlot(cmd *cobra.Command, path string, yes bool, what string, change func(context.Context, *config.Config) error) error {
	cfg, err := config.Load(path)
	if err != nil {
		return &runError{err: err}
	}
	if yes {
		return failed(change(cmd.Context(), cfg))
	}
	info, err := listener.SlotStatus(cmd.Context(), cfg.Listener, cfg.Database)
	if err != nil {
		return &runError{err: err}
	}
	if !info.Exists {
		what = "forget slot %s, which does not exist (%s of log, %s)"
	}
	fmt.Fprintf(cmd.OutOrStdout(), "this would "+what+"\n", info.Name, sizeOf(info.Behind), listener.FormatLSN(info.Confirmed))
	return &runError{err: errUnconfirmed}
}

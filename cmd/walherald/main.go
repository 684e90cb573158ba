// Command walherald heralds every committed change of a PostgreSQL database.
//
//	walherald -c config.yml          run the service
//	walherald check -c config.yml    look for what would keep it from running
//	walherald config validate        say what is wrong with the configuration; show, env, schema
//	walherald tail -c config.yml     print events from a configured broker
//	walherald slot status            look after the replication slot
//	walherald publication show       show what the publication publishes
//	walherald parked list            look after notifications that could not be delivered
//	walherald convert                print what an activation.yaml of setu is as a configuration
//	walherald healthcheck            ask the service on this machine whether it is alive
//	walherald completion bash        make a shell complete all this
//	walherald version
//
// It ends with 0 after a stop that was asked for (SIGTERM, SIGINT), 1 after an
// error, or if check found one, and 2 if it was called wrongly. docs/command-line.md
// has every command and flag.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/walherald/walherald/listener"
)

// unreleased is the version of what is no release.
const unreleased = "devel"

// version is set when a release is built; main makes the best of it otherwise.
var version = unreleased

// The exit codes.
const (
	exitOK    = 0
	exitError = 1
	exitUsage = 2
)

func main() {
	// Package net/http writes there what a server sends unasked, which can be anything.
	log.SetOutput(io.Discard)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	info, _ := debug.ReadBuildInfo()
	version = builtVersion(version, info)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run runs the command line and returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	var failed *runError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &failed):
		if !failed.told {
			fmt.Fprintln(stderr, "walherald:", err)
		}
		return exitError
	default:
		fmt.Fprintf(stderr, "walherald: %v\nRun 'walherald --help' for usage.\n", err)
		return exitUsage
	}
}

// runError is an error of the work, not of the command line. If told, it has
// been logged or printed already.
type runError struct {
	err  error
	told bool
}

func (e *runError) Error() string { return e.err.Error() }
func (e *runError) Unwrap() error { return e.err }

// newRoot returns the command, which without a subcommand is the service.
func newRoot() *cobra.Command {
	var path, gap string
	root := &cobra.Command{
		Use:           "walherald",
		Short:         "Heralds every committed change of a PostgreSQL database",
		Long:          about,
		Example:       aboutExamples,
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			lsn, err := acceptedGap(gap)
			if err != nil {
				return err
			}
			return serve(cmd.Context(), path, lsn, cmd.ErrOrStderr())
		},
	}
	root.PersistentFlags().StringVarP(&path, "config", "c", "config.yml", "configuration file")
	if err := root.MarkPersistentFlagFilename("config", "yml", "yaml"); err != nil {
		panic(err) // there is no such flag
	}
	root.Flags().StringVar(&gap, "accept-gap", "", "go on although changes from this position on are lost; a start that refuses the slot says which")
	root.CompletionOptions.DisableDefaultCmd = true // completionCommand takes its place
	root.AddGroup(groups...)
	root.AddCommand(grouped(groupBefore, checkCommand(&path), configCommand(&path), convertCommand(&path))...)
	root.AddCommand(grouped(groupWhile, tailCommand(&path), slotCommand(&path), publicationCommand(&path), parkedCommand(&path),
		healthcheckCommand(&path))...)
	root.AddCommand(grouped(groupOther, completionCommand(), versionCommand())...)
	root.AddCommand(topics()...)
	helpCommand(root)
	strict(root)
	completeFlags(root, &path)
	return root
}

// acceptedGap reads --accept-gap; 0 means that no gap is accepted.
func acceptedGap(text string) (uint64, error) {
	if text == "" {
		return 0, nil
	}
	lsn, err := listener.ParseLSN(text)
	if err != nil {
		return 0, fmt.Errorf("--accept-gap: %w; give the position that the refused start named, such as 0/16B3748", err)
	}
	return lsn, nil
}

// Command walherald heralds every committed change of a PostgreSQL database.
//
//	walherald -c config.yml          run the service
//	walherald check -c config.yml    look for what would keep it from running
//	walherald version
//
// It ends with 0 after a stop that was asked for (SIGTERM, SIGINT), 1 after an
// error, or if check found one, and 2 if it was called wrongly.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// version is set when a release is built.
var version = "devel"

// The exit codes.
const (
	exitOK    = 0
	exitError = 1
	exitUsage = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
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
	var path string
	root := &cobra.Command{
		Use:           "walherald",
		Short:         "Heralds every committed change of a PostgreSQL database",
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return serve(cmd.Context(), path, cmd.ErrOrStderr()) },
	}
	root.PersistentFlags().StringVarP(&path, "config", "c", "config.yml", "configuration file")
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(checkCommand(&path), versionCommand())
	return root
}

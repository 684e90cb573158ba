package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// about is the help of the program.
const about = `walherald reads the write-ahead log of a PostgreSQL database and publishes every
committed change to brokers, and those that rules select as webhooks and messages. The
log may go only when all of them have confirmed.

Without a command it is that service, until SIGTERM or SIGINT; SIGHUP makes it read its
configuration again. Start with "walherald check", which says what is missing.

Every key of the configuration can be set by a variable, such as WAL_DATABASE_PASSWORD:
"walherald config env" lists them.`

const aboutExamples = `  walherald -c config.yml
  WAL_DATABASE_PASSWORD=secret walherald -c config.yml
  walherald --accept-gap 0/1A2B3C8 -c config.yml`

// The groups of commands in the help.
const (
	groupBefore = "before"
	groupWhile  = "while"
	groupOther  = "other"
)

var groups = []*cobra.Group{
	{ID: groupBefore, Title: "Before it runs:"},
	{ID: groupWhile, Title: "While it runs:"},
	{ID: groupOther, Title: "Other:"},
}

// grouped puts commands into a group.
func grouped(id string, commands ...*cobra.Command) []*cobra.Command {
	for _, cmd := range commands {
		cmd.GroupID = id
	}
	return commands
}

// topics are pages of the help that are no commands.
func topics() []*cobra.Command {
	return []*cobra.Command{
		{Use: "environment", Short: "Which environment variables count", Long: helpEnvironment},
		{Use: "exit-codes", Short: "How it ends, and what that means", Long: helpExitCodes},
	}
}

const helpEnvironment = `WAL_<SECTION>_<KEY>            sets the key of the configuration and goes before the file;
                               "walherald config env" lists them all
<NAME>                         what ${NAME} and ${env:NAME} stand for in the configuration
GOMEMLIMIT                     the soft limit of memory, in the place of walherald's own
NO_COLOR                       no colours on a terminal
PUBSUB_EMULATOR_HOST           the emulator that type google_pubsub uses
GOOGLE_APPLICATION_CREDENTIALS the credentials of type google_pubsub without
                               publisher.pubsub.credentialsFile
OTEL_EXPORTER_OTLP_HEADERS     headers of what goes to monitoring.tracing.endpoint
SSL_CERT_FILE, SSL_CERT_DIR    the authorities that are trusted without a caCert`

const helpExitCodes = `0  it did what was asked; the service: it was stopped by SIGTERM or SIGINT
1  an error that only somebody can mend, which is the last thing printed; a command: what
   it looked for is not as it should be (check, config validate, slot status, healthcheck,
   parked retry), or it gives something up and --yes is missing
2  it was called wrongly: an unknown command or flag, or a flag that has a wrong value

A database or a broker that is gone is no error of the service: it waits, and says so in
its log and at /ready.`

// helpCommand gives cobra's own command texts and a group.
func helpCommand(root *cobra.Command) {
	root.SetHelpCommandGroupID(groupOther)
	root.InitDefaultHelpCmd()
	for _, cmd := range root.Commands() {
		if cmd.Name() == "help" {
			cmd.Short = "Tell about a command or a topic"
			cmd.Long = "Tell about a command or a topic: what it does, its flags, how it ends."
			cmd.Example = "  walherald help parked retry\n  walherald help exit-codes"
		}
	}
}

// strict makes cmd and all commands below it refuse what they do not know, with the
// nearest that they do.
func strict(cmd *cobra.Command) {
	cmd.SuggestionsMinimumDistance = 2 // which is the most, in spite of its name
	cmd.SetFlagErrorFunc(unknownFlag)
	if cmd.HasSubCommands() {
		cmd.Args = unknownCommand
	}
	for _, below := range cmd.Commands() {
		strict(below)
	}
}

// unknownCommand refuses arguments of a command that has none but other commands.
func unknownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	text := fmt.Sprintf("unknown command %q for %q", args[0], cmd.CommandPath())
	near := cmd.SuggestionsFor(args[0])
	switch {
	case len(near) > 0:
		text += "; did you mean " + either(near) + "?"
	case !cmd.HasParent() && strings.Contains(" serve run start ", " "+args[0]+" "):
		text += "; the service runs without one: walherald -c config.yml"
	}
	return errors.New(text)
}

// either joins suggestions.
func either(texts []string) string {
	quoted := make([]string, len(texts))
	for i, text := range texts {
		quoted[i] = strconv.Quote(text)
	}
	return strings.Join(quoted, " or ")
}

// unknownFlag names the flag that was probably meant.
func unknownFlag(cmd *cobra.Command, err error) error {
	var missing *pflag.NotExistError
	if !errors.As(err, &missing) || len(missing.GetSpecifiedName()) < 2 {
		return err
	}
	// The names of flags are compared as cobra compares those of commands.
	flags := &cobra.Command{Use: "flags", SuggestionsMinimumDistance: 2}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		flags.AddCommand(&cobra.Command{Use: "--" + f.Name, Run: func(*cobra.Command, []string) {}})
	})
	if near := flags.SuggestionsFor("--" + missing.GetSpecifiedName()); len(near) > 0 {
		return fmt.Errorf("%w; did you mean %s?", err, either(near))
	}
	return err
}

package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/notifier"
	"github.com/walherald/walherald/publisher/notifier/rules"
	"github.com/walherald/walherald/publisher/notifier/slack"
	"github.com/walherald/walherald/publisher/notifier/telegram"
	"github.com/walherald/walherald/publisher/notifier/webhook"
)

// configCommand looks at the configuration alone.
func configCommand(path *string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Look at the configuration alone: validate, show, env, schema",
		Long: `Look at the configuration alone. None of these commands opens a connection.

docs/configuration.md describes every key.`,
		Example: `  walherald config validate -c config.yml
  walherald config show -c config.yml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(configValidateCommand(path), configShowCommand(path), configEnvCommand(), configSchemaCommand())
	return cmd
}

func configValidateCommand(path *string) *cobra.Command {
	return &cobra.Command{
		Use:   "validate",
		Short: "Say everything that is wrong with the configuration; opens no connection",
		Long: `Say everything that is wrong with the configuration; opens no connection.

It reads the file and the variables as the service does, with the rules and templates of
the notifier, and reports all problems and warnings at once. It is for a pipeline, which
reaches neither database nor brokers; "walherald check" asks them too. Set the variables
and files that the configuration takes its secrets from, or secrets.lenient.

It ends with 1 if there is an error; warnings alone are none.`,
		Example: `  walherald config validate -c config.yml
  WAL_SECRETS_LENIENT=true walherald config validate -c config.yml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			errs, err := report(cmd.OutOrStdout(), validate(*path), colourful(cmd.OutOrStdout()))
			switch {
			case err != nil:
				return failed(fmt.Errorf("print findings: %w", err))
			case errs > 0:
				return &runError{err: errInvalid, told: true}
			}
			return nil
		},
	}
}

// errInvalid says that a configuration has errors.
var errInvalid = errors.New("configuration has errors")

// validate finds what can be found wrong with a configuration without asking anybody.
func validate(path string) config.Findings {
	cfg, err := config.Load(path)
	if err != nil {
		return unloadable(path, err)
	}
	var found config.Findings
	for _, w := range cfg.Warnings() {
		found.Warn("environment", "correct or unset it", "%s", w)
	}
	told := make(map[string]bool)
	for _, n := range cfg.Notifications() {
		for _, err := range brokenParts(n) {
			// A rule that sends to several destinations is broken once.
			if !told[err.Error()] {
				told[err.Error()] = true
				at, what := placeOf(n.Section, err)
				found.Fail(at, "correct it; docs/notifier.md and docs/messages.md say what can stand there", "%s", what)
			}
		}
	}
	if len(told) == 0 {
		found.OK(path, "configuration is valid")
	}
	return found
}

// brokenParts makes the rules and the sender of a destination, which connects to
// nothing, and returns what is wrong with them.
func brokenParts(n config.Notification) (errs []error) {
	for _, r := range n.Rules {
		if _, err := rules.New([]config.NamedRule{r}, nil); err != nil {
			errs = append(errs, err)
		}
	}
	sender, err := senderOf(n)
	if err == nil {
		err = sender.Close()
	}
	if err != nil {
		errs = append(errs, err)
	}
	return errs
}

func senderOf(n config.Notification) (notifier.Sender, error) {
	switch n.Type {
	case config.DestinationSlack:
		return slack.New(n)
	case config.DestinationTelegram:
		return telegram.New(n)
	}
	return webhook.New(n, publisher.Content{})
}

// placeOf takes apart an error that begins with a path; section is what it is about if
// it does not.
func placeOf(section string, err error) (path, what string) {
	path, what, found := strings.Cut(err.Error(), ": ")
	if !found || !strings.HasPrefix(path, "notifier.") || strings.ContainsAny(path, " \"") {
		return section, err.Error()
	}
	return path, what
}

func configShowCommand(path *string) *cobra.Command {
	return &cobra.Command{
		Use:   "show",
		Short: "Print what file, variables and defaults come to, without secrets",
		Long: `Print what file, variables and defaults come to, as YAML.

Every key is there with the value that holds, and behind it the line or the variable that
set it; without one it is the default. Secrets are shown as <secret>. An activation.yaml
of setu is shown as what it means.

It ends with 1 if the configuration has errors.`,
		Example: `  walherald config show -c config.yml
  walherald config show | grep WAL_`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			text, err := config.Show(*path)
			return written(cmd.OutOrStdout(), text, err)
		},
	}
}

func configSchemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print a JSON Schema of the configuration, for editors",
		Long: `Print a JSON Schema (draft 2020-12) of the configuration, for editors.

With it an editor completes keys, shows what they mean, and marks unknown keys and wrong
values. yaml-language-server, which VS Code and others use, takes it from a first line of
the configuration:

  # yaml-language-server: $schema=walherald.schema.json

It reads no configuration.`,
		Example: `  walherald config schema > walherald.schema.json`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			text, err := config.JSONSchema()
			return written(cmd.OutOrStdout(), text, err)
		},
	}
}

// written prints text unless it could not be made.
func written(w io.Writer, text []byte, err error) error {
	if err != nil {
		return failed(err)
	}
	if _, err := w.Write(text); err != nil {
		return failed(fmt.Errorf("print: %w", err))
	}
	return nil
}

func configEnvCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "env",
		Short: "List every environment variable that sets a key",
		Long: `List every environment variable that sets a key, one a line: its name, its type, the
default, whether it is set now, and what it means.

No value is shown, because it can be a secret. A variable goes before the file; one that
is empty counts as not set. Lists are texts with commas; mappings, and lists of mappings,
are YAML in one line. It reads no configuration.`,
		Example: `  walherald config env
  walherald config env | grep DATABASE`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return failed(printVariables(cmd.OutOrStdout(), config.Variables()))
		},
	}
}

func printVariables(w io.Writer, all []config.Variable) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "VARIABLE\tTYPE\tDEFAULT\tNOW\tMEANING")
	for _, v := range all {
		now := "-"
		if v.Set {
			now = "set"
		}
		if v.Default == "" {
			v.Default = "-"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", v.Name, v.Type, v.Default, now, v.Meaning)
	}
	return t.Flush()
}

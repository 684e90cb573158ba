package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/walherald/walherald/config"
)

// activationFile is what setu's configuration is called.
const activationFile = "activation.yaml"

// convertCommand prints what an activation file of setu is as a configuration.
func convertCommand(path *string) *cobra.Command {
	return &cobra.Command{
		Use:   "convert",
		Short: "Print the configuration that an activation.yaml of setu is; changes nothing",
		Long: `Print the configuration that an activation.yaml of setu is; changes nothing.

The configuration does the same as the activation file itself, which walherald
reads too. Without -c the file is activation.yaml. It ends with 1 if the file is wrong
or is none of setu.`,
		Example: `  walherald convert -c activation.yaml > config.yml`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			from := activationFile
			if cmd.Flags().Changed("config") {
				from = *path
			}
			text, err := config.ConvertActivation(from)
			if err != nil {
				return failed(err)
			}
			if _, err := cmd.OutOrStdout().Write(text); err != nil {
				return failed(fmt.Errorf("print configuration: %w", err))
			}
			return nil
		},
	}
}

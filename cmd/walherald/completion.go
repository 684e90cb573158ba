package main

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/walherald/walherald/config"
)

// completionCommand prints what makes a shell complete the command line.
func completionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "completion bash|zsh|fish|powershell",
		Short: "Print what makes a shell complete commands, flags and names",
		Long: `Print a script that makes a shell complete commands, flags, and the names of publishers,
rules and destinations, which it takes from the configuration.

  bash        put it into /etc/bash_completion.d, or source it in ~/.bashrc
              (needs the package bash-completion)
  zsh         put it as _walherald into a folder of $fpath
  fish        put it into ~/.config/fish/completions/walherald.fish
  powershell  add it to the profile

It reads no configuration.`,
		Example: `  source <(walherald completion bash)
  walherald completion zsh > "${fpath[1]}/_walherald"
  walherald completion fish > ~/.config/fish/completions/walherald.fish
  walherald completion powershell | Out-String | Invoke-Expression`,
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{"bash", "zsh", "fish", "powershell"},
		RunE: func(cmd *cobra.Command, args []string) error {
			root, w := cmd.Root(), cmd.OutOrStdout()
			var err error
			switch args[0] {
			case "bash":
				err = root.GenBashCompletionV2(w, true)
			case "zsh":
				err = root.GenZshCompletion(w)
			case "fish":
				err = root.GenFishCompletion(w, true)
			case "powershell":
				err = root.GenPowerShellCompletionWithDesc(w)
			}
			if err != nil {
				return failed(fmt.Errorf("print completion: %w", err))
			}
			return nil
		},
	}
}

// names are the flags whose values are names in the configuration.
var names = map[string]func(*config.Config) []string{
	"publisher": func(cfg *config.Config) (names []string) {
		for _, out := range cfg.Outputs() {
			names = append(names, out.Name)
		}
		return names
	},
	"destination": func(cfg *config.Config) (names []string) {
		for _, n := range cfg.Notifications() {
			names = append(names, n.Name)
		}
		return names
	},
	"rule": func(cfg *config.Config) (names []string) {
		for _, n := range cfg.Notifications() {
			for _, r := range n.Rules {
				names = append(names, r.Name)
			}
		}
		slices.Sort(names)
		return slices.Compact(names)
	},
}

// completeFlags makes the flags of cmd and all below it complete: names, words and,
// anywhere else, no files.
func completeFlags(cmd *cobra.Command, path *string) {
	for flag, list := range names {
		complete(cmd, flag, func() []string {
			cfg, err := config.Load(*path)
			if err != nil {
				return nil // which the command itself will tell
			}
			return list(cfg)
		})
	}
	complete(cmd, "from", func() []string { return []string{"start", "now"} })
	complete(cmd, "to", func() []string { return []string{"end"} })
	for _, below := range cmd.Commands() {
		completeFlags(below, path)
	}
}

// complete makes the flag of cmd complete to the values, if it has that flag.
func complete(cmd *cobra.Command, flag string, values func() []string) {
	if cmd.Flags().Lookup(flag) == nil {
		return
	}
	err := cmd.RegisterFlagCompletionFunc(flag, func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return values(), cobra.ShellCompDirectiveNoFileComp
	})
	if err != nil {
		panic(err) // there is such a flag, and it is completed once
	}
}

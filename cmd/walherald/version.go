package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Long: `Print the version of walherald, and which Go and which system it was built with
and for.`,
		Example: `  walherald version`,
		Args:    cobra.NoArgs,
		Run: func(cmd *cobra.Command, _ []string) {
			fmt.Fprintf(cmd.OutOrStdout(), "walherald %s (%s, %s/%s)\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
		},
	}
}

// builtVersion returns the version that was set when the program was built or,
// where none was, the one that Go knows: of the module where "go install" fetched
// it, or of the commit where it was built in a checkout.
func builtVersion(set string, info *debug.BuildInfo) string {
	if set != unreleased || info == nil {
		return set
	}
	return cmp.Or(strings.Trim(info.Main.Version, "()"), unreleased)
}

package service

import (
	"context"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/file"
)

// tailFile reads the file; it holds nothing but this output's lines.
func tailFile(ctx context.Context, cfg config.Output, o TailOptions, emit func(publisher.Received) error) error {
	return file.Tail(ctx, file.Config{Path: cfg.Path}, o.From, emit)
}

package service

import (
	"context"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/publisher"
)

func tailRabbitMQ(_ context.Context, out config.Output, _ string, _ TailOptions, _ func(publisher.Received) error) error {
	return unavailable(out)
}

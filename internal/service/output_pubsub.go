package service

import (
	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/publisher"
)

func newPubSub(cfg config.Output, _ publisher.Content, _ hooks) (*output, error) {
	return nil, unavailable(cfg)
}

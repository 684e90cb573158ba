package service

import (
	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/file"
)

func newFile(cfg config.Output, content publisher.Content, h hooks) (*output, error) {
	f, err := file.New(file.Config{Path: cfg.Path, Content: content}, h.log)
	if err != nil {
		return nil, err
	}
	return &output{deliverer: f}, nil
}

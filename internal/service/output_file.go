package service

import (
	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/file"
)

func newFile(cfg config.Output, h hooks) (*output, error) {
	var content publisher.Content
	if cfg.BodyCompression != "" && cfg.BodyCompression != config.CompressionNone {
		content.Encoding = cfg.BodyCompression
	}
	if cfg.Envelope == config.EnvelopeCloudEvents && cfg.CloudEvents == config.CloudEventsBinary {
		content.CloudEvents = &publisher.CloudEvents{}
	}
	f, err := file.New(file.Config{Path: cfg.Path, Content: content}, h.log)
	if err != nil {
		return nil, err
	}
	return &output{deliverer: f}, nil
}

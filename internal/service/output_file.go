package service

import "github.com/walherald/walherald/config"

func newFile(cfg config.Output, _ hooks) (*output, error) { return nil, unavailable(cfg) }

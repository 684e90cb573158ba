package verify

import (
	_ "github.com/compose-spec/compose-go/v2/loader"
	_ "github.com/prometheus/client_golang/prometheus"
	_ "github.com/prometheus/prometheus/model/rulefmt"
	_ "github.com/prometheus/prometheus/promql/parser"
	_ "github.com/prometheus/prometheus/promql/promqltest"
	_ "github.com/prometheus/prometheus/rules"
	_ "github.com/walherald/walherald/config"
	_ "github.com/walherald/walherald/internal/pgserver"
	_ "github.com/walherald/walherald/metrics"
	_ "github.com/walherald/walherald/metrics/console"
	_ "go.yaml.in/yaml/v3"
)

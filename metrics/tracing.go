package metrics

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"

	"github.com/go-logr/logr"
	"github.com/google/uuid"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// TracerOptions say where traces go, and of what process they are.
type TracerOptions struct {
	// Endpoint is the URL of a collector that takes OTLP over HTTP, without
	// "/v1/traces", which is appended unless it is there.
	Endpoint string
	// Ratio is the share of batches that are traced, 0 to 1.
	Ratio float64
	// Version of the program; Environment is what the installation is called, or
	// empty.
	Version, Environment string
	// Log is told of what cannot be sent, at most once a minute.
	Log *slog.Logger
}

// Tracer sends spans to a collector, in the background: a queue of 2048 spans is
// all that waits, and what finds it full is dropped. The environment variables
// of OpenTelemetry's exporter and batch processor are heeded
// (OTEL_EXPORTER_OTLP_HEADERS, …_CERTIFICATE, …_COMPRESSION, OTEL_BSP_…), but for
// the endpoint and the sampler; those about the resource go before TracerOptions.
//
// It is safe for concurrent use. A nil *Tracer starts no spans.
type Tracer struct {
	tracer    trace.Tracer
	processor sdktrace.SpanProcessor
	exporter  *exporter
}

// NewTracer returns a Tracer, or nil if Endpoint is empty or Ratio 0. It does not
// connect: a collector may come and go. From then on what OpenTelemetry's library
// complains of, for which it has one place in a process, goes to Log.
func NewTracer(ctx context.Context, o TracerOptions) (*Tracer, error) {
	if o.Endpoint == "" || o.Ratio <= 0 {
		return nil, nil
	}
	endpoint, err := tracesURL(o.Endpoint)
	if err != nil {
		return nil, err
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(error) {})) // what is wrong with the environment is told below
	otel.SetLogger(logr.New(librarySink{o.Log}))
	client, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(endpoint))
	if err != nil {
		return nil, fmt.Errorf("monitoring.tracing: %w", err)
	}
	about, err := resourceOf(ctx, o)
	if err != nil {
		o.Log.Warn("what OTEL_RESOURCE_ATTRIBUTES says is left out of traces, in part or whole: it has to be of the form name=value,name=value")
	}
	t := &Tracer{exporter: &exporter{SpanExporter: client, done: make(chan struct{})}}
	t.processor = sdktrace.NewBatchSpanProcessor(t.exporter)
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithSpanProcessor(t.processor),
		sdktrace.WithSampler(sdktrace.TraceIDRatioBased(o.Ratio)),
		sdktrace.WithResource(about),
	)
	t.tracer = provider.Tracer("github.com/walherald/walherald",
		trace.WithInstrumentationVersion(o.Version), trace.WithSchemaURL(semconv.SchemaURL))
	otel.SetErrorHandler(newComplaints(o.Log))
	return t, nil
}

// tracesPath is where a collector takes traces, below its base (OTLP 1.10,
// "OTLP/HTTP Request").
const tracesPath = "/v1/traces"

func tracesURL(endpoint string) (string, error) {
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" {
		return "", errors.New("monitoring.tracing.endpoint: must be a URL such as http://collector:4318")
	}
	u.Path = strings.TrimSuffix(u.Path, "/")
	if !strings.HasSuffix(u.Path, tracesPath) {
		u.Path += tracesPath
	}
	return u.String(), nil
}

// resourceOf describes this process. With an error it is what could be found out.
func resourceOf(ctx context.Context, o TracerOptions) (*resource.Resource, error) {
	attrs := []attribute.KeyValue{
		semconv.ServiceName("walherald"), semconv.ServiceVersion(o.Version), semconv.ServiceInstanceID(uuid.NewString()),
	}
	if host, err := os.Hostname(); err == nil {
		attrs = append(attrs, semconv.HostName(host))
	}
	if o.Environment != "" {
		// Under the name that holds now, and the one that most dashboards still ask for.
		attrs = append(attrs, semconv.DeploymentEnvironmentNameKey.String(o.Environment),
			attribute.String("deployment.environment", o.Environment))
	}
	return resource.New(ctx, resource.WithSchemaURL(semconv.SchemaURL), resource.WithAttributes(attrs...),
		resource.WithTelemetrySDK(), resource.WithFromEnv())
}

// exporter tells when nothing more will be exported.
type exporter struct {
	sdktrace.SpanExporter
	done chan struct{}
}

// Shutdown is called once, by the processor, after its last export.
func (e *exporter) Shutdown(ctx context.Context) error {
	defer close(e.done)
	return e.SpanExporter.Shutdown(ctx)
}

// Shutdown sends what is waiting until ctx ends, gives up the rest, and returns
// once nothing of the tracer is under way. It is called once; spans that end later
// are dropped.
func (t *Tracer) Shutdown(ctx context.Context) error {
	if t == nil {
		return nil
	}
	// Not that of the provider, which stops nothing if ctx has ended already.
	err := t.processor.Shutdown(ctx)
	if err == nil {
		return nil
	}
	// The request under way would go on for half a minute.
	_ = t.exporter.SpanExporter.Shutdown(ctx)
	<-t.exporter.done
	return fmt.Errorf("send the last traces: %w", err)
}

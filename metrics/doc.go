// Package metrics is what walherald shows of itself: numbers, health and logs.
//
// # Numbers
//
// [New] registers every collector; [MetricsHandler] serves them at /metrics.
// All carry the label app. Three keep the names they have in wal-listener, so
// that dashboards go on working:
//
//	published_events_total{subject,table}  events published and confirmed
//	filter_skipped_events_total{table}     changes the filter dropped
//	problematic_events_total{kind}         events something is wrong with
//
// The others begin with walherald_. Where walherald stands in the log:
//
//	server_lsn_bytes     the server's WAL end, as last told
//	received_lsn_bytes   end of the last commit that was read
//	confirmed_lsn_bytes  the lowest position that all outputs have confirmed
//	flushed_lsn_bytes    what the server was told: it may forget up to there
//	lag_bytes            server minus flushed: the log that has to be kept
//	lag_seconds          age of the oldest commit that an output has not confirmed, or
//	                     for how long the log could not be read
//
// Positions are in bytes, so differences are distances. They are 0 until known, and
// exact up to 2^53 bytes of log. What else is known of source and process:
//
//	slot_retained_bytes, slot_safe_bytes  log that the server keeps, and still would
//	slot_status{status}                   1 for the wal_status of the slot
//	source_ready, standby                 whether the log is read, or waited for
//	window_bytes, window_limit_bytes      encoded changes in memory and their bound
//	transactions_total                    commits read
//	received_changes_total                changes read, dropped ones among them
//	reconnects_total                      replication connections that were replaced
//	reloads_total{result}                 reloads: applied or refused
//	build_info{version}                   always 1
//
// And for each output:
//
//	batch_messages{output}             messages of a delivered batch
//	batch_bytes{output}                bytes of a delivered batch
//	deliver_seconds{output}            one attempt that succeeded
//	deliver_failures_total{output}     attempts that failed
//	commit_to_confirm_seconds{output}  from the commit to the confirmation
//	repeats_skipped_total{output}      messages the destination already held
//	output_mode{output,mode}           1 for the path in use
//	output_ready{output}               1 while it takes what it is given
//	output_window_bytes{output}        what it has not confirmed, and
//	output_window_events{output}       how many changes that are
//	oldest_unconfirmed_seconds{output} the age of the oldest of them
//
// docs/metrics.md has all of them. What follows the clock is brought up to date by
// [Metrics.Gatherer]; page and API read the same numbers.
//
// Labels are names from the configuration and the database's catalog, never
// data; those of tables and subjects are bounded ([Metrics.MaxSeries]). What can be known beforehand starts at zero, so that the first
// increment is visible as one.
//
// # Health
//
// [Health] holds two different answers. Readiness is about everything walherald
// depends on: each part is a [Component] that says whether it can do its work
// and, if not, why, since when and at which LSN. Liveness is about this process
// alone: each loop that must not stand still has a [Heartbeat]. A broker that is
// down makes /ready fail and never /healthz: a restart would not mend it.
//
// # Logs
//
// [NewLogger] writes records as JSON or text; [NewSentryHandler] wraps its
// handler and sends errors to Sentry as well.
//
// # Events and traces
//
// [Recent] keeps a sample of the last events and their ways. A [Tracer] makes one span
// of each batch and sends it to an OpenTelemetry collector.
//
// # Nil
//
// The methods of a nil [Metrics], [Output], [Component] and [Heartbeat] do
// nothing, and a nil [Health] hands out nil parts, so that code under test needs
// none of them. Everything here is safe for concurrent use.
package metrics

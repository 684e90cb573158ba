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
//	confirmed_lsn_bytes  the position the server may forget up to
//
// All three are positions in bytes, so differences are distances: server minus
// confirmed is the log that walherald keeps the server from removing, received
// minus confirmed is what waits for the outputs. They are 0 until known, and
// exact up to 2^53 bytes of log.
//
//	window_bytes, window_limit_bytes  encoded changes in memory and their bound
//	transactions_total                commits read
//	reconnects_total                  replication connections that were replaced
//	build_info{version}               always 1
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
//
// Labels are names from the configuration and the database's catalog, never
// data. What can be known beforehand starts at zero, so that the first
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
// # Nil
//
// The methods of a nil [Metrics], [Output], [Component] and [Heartbeat] do
// nothing, and a nil [Health] hands out nil parts, so that code under test needs
// none of them. Everything here is safe for concurrent use.
package metrics

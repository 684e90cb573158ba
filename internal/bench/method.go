package main

// method is the part of the page that says how it is measured.
const method = `## How it is measured

- All lines come from one run on one machine: a private PostgreSQL and private
  brokers, each with processes of its own, beside the program that is measured.
  Nothing is tuned in walherald's configuration.
- PostgreSQL runs with fsync on, autovacuum off and no checkpoint while a line
  runs. JetStream keeps its streams in files and syncs them as it does by
  default, every two minutes, which is not before a message is confirmed. Kafka
  leaves that to the system, as it does by default. RabbitMQ syncs before it
  confirms. Pub/Sub is Google's emulator where there is one, which keeps its
  messages in memory, or else the server of Pub/Sub's Go module; the versions
  above say which.
- Kafka's topics have six partitions and no compression. RabbitMQ has a topic
  exchange with one queue, a quorum queue of one node or a classic durable one.
  Pub/Sub's ordering keys are the values of a column that has 1,000, because a
  request holds messages of one key only; its topics have one subscription.
- The table has six columns: bigint (the primary key), text, text, boolean,
  numeric, timestamptz. All rows are in the log before the first line starts.
  Every run of every line reads them from a slot of its own, made before they
  were written. A marker row behind them ends the reading.
- The usual transactions have 1,000 rows, which the server decodes in memory.
  The large transaction does not fit: the server spills it to disk first and
  reads it back, and the time for that is in its lines.
- RabbitMQ and Pub/Sub read fewer of the usual transactions, which were written
  by themselves.
- Before the lines of a kind of transactions some messages are published to all
  their destinations, so that no line has to warm a server up.
- The many tables have the same columns, and each row goes to the next table.
  They are made once the lines above them and the latency are measured and have
  a publication of their own. What a process does once for each table it meets
  is in its lines.
- A clock runs from the start of a process until the last row is confirmed:
  for walherald until the slot's confirmed_flush_lsn, read every 5 ms, has
  reached the end of the rows; for pg_recvlogical and the publisher alone
  until the process has ended.
- The runs are interleaved line by line. The table shows the median and, beside
  it, the smallest and the largest. Ratios are those of the medians.
- CPU time is user and system time of the finished process alone, as the kernel
  counted it; the servers' is not in it. Peak memory is the resident set's high
  water mark (VmHWM), in units of 1,000,000 bytes.
- The publisher alone is walherald's own JetStream publisher, fed from memory
  with as many messages of the same size and headers, 8,192 at a time.
- A plain client is the broker's usual Go library, used as its manual says, in a
  process of its own, with as many messages of the same size and headers from
  memory, confirmed in the same way: nats.go's asynchronous publisher with
  message ids; kafka-go's writer with acks=all, murmur2 and batches as large as
  a topic takes; amqp091-go with persistent and mandatory messages of which up
  to 2,000 wait for their confirms; Pub/Sub's publisher with up to 20,000 on
  their way and, where walherald has them, the same 1,000 ordering keys.
- With message ids the stream is made beforehand without allow_batched, so that
  walherald publishes each message with its Nats-Msg-Id.
- The 100 rules are about the table that is read and the action there is: 40 compare
  a column with a value, 20 with a list, 20 with a bound, 20 are expressions. No row
  meets one.
- Notifications are webhooks to endpoints in the benchmark's own process, which answer
  after 50 ms and check that no change of a row is lost, repeated or out of order. The
  changes are of 1,000 rows in turn. The dead endpoint is a port on which nobody
  listens; what is for it is parked.
- Two destinations at once are two publishers of one configuration. They are
  held against the slower of the two alone.
- After each run the destination must hold exactly the messages that were to be
  written (the stream's count, the ends of Kafka's partitions, the length of the
  queue, what a subscription hands out), or the benchmark fails; then they are
  deleted.
- Latency is measured with walherald in the benchmark's process, while 16
  connections commit transactions of one row at a steady pace: 1,000 each second,
  or 100, so that each finds everything idle. It runs from the commit time in the
  message, which the server takes before it waits for the disk, to the moment the
  batch is confirmed, by the same machine's clock. A turn that a connection is too
  late for by a whole rotation is missed.
- Encoding is Go's benchmark of the body of an insert into a table of six columns
  of those types, in a process of its own: from the row as PostgreSQL sends it to
  the JSON, and for some envelopes from the decoded values.
`

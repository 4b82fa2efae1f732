import com.fasterxml.jackson.annotation.JsonIgnoreProperties;
import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.processor.StateRestoreListener;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/** The count job on Kafka Streams: a processor, a RocksDB store with its changelog, at least once. */
public final class KafkaStreamsCount {
    private static final String STORE = "profiles";
    private static final String ORDER = "Order Completed";
    private static final long PROGRESS_EVERY = 20_000;
    private static final int COMMIT_INTERVAL_MS = 5_000; // as Quix Streams; the default of 30 s would replay more
    private static final int LINGER_MS = 5; // the client's own default; that of Streams, 100, would be most of the latency
    private static final ObjectMapper JSON = new ObjectMapper();

    @JsonIgnoreProperties(ignoreUnknown = true)
    record Event(String userId, String event) {}

    record Identify(String userId, String type, Map<String, Long> traits) {}

    private final Map<String, String> options;
    private final long events;
    private final long warm;
    private final AtomicLong processed = new AtomicLong();
    private final CountDownLatch done = new CountDownLatch(1);
    private final AtomicBoolean failed = new AtomicBoolean();

    private KafkaStreamsCount(Map<String, String> options) {
        this.options = options;
        this.events = Long.parseLong(options.get("events"));
        this.warm = Long.parseLong(options.get("warm"));
    }

    public static void main(String[] arguments) throws InterruptedException {
        say("started", 0);
        Map<String, String> options = new HashMap<>();
        for (int at = 1; at < arguments.length; at += 2) { // the first word is the job: count
            options.put(arguments[at].substring("--".length()), arguments[at + 1]);
        }
        System.exit(new KafkaStreamsCount(options).run());
    }

    private int run() throws InterruptedException {
        try (KafkaStreams streams = new KafkaStreams(topology(), settings())) {
            Restore restore = new Restore();
            streams.setGlobalStateRestoreListener(restore);
            streams.setStateListener((now, before) -> {
                if (now == KafkaStreams.State.RUNNING) {
                    restore.end();
                }
            });
            streams.setUncaughtExceptionHandler(fault -> {
                fault.printStackTrace();
                failed.set(true);
                done.countDown();
                return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
            });
            streams.start();
            done.await();
        } // close() flushes the outputs and commits
        return failed.get() ? 1 : 0;
    }

    private Properties settings() {
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, options.get("group"));
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, options.get("brokers"));
        settings.put(StreamsConfig.STATE_DIR_CONFIG, options.get("data"));
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.AT_LEAST_ONCE);
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, Integer.getInteger("threads", 1));
        settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, COMMIT_INTERVAL_MS);
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.LINGER_MS_CONFIG), LINGER_MS);
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
        return settings;
    }

    private Topology topology() {
        Serde<Map<String, Long>> counts = json(new TypeReference<>() {});
        Serde<Event> event = json(new TypeReference<>() {});
        Serde<Identify> identify = json(new TypeReference<>() {});
        Serde<String> key = Serdes.String();
        // Cached, as every store of the DSL is: one changelog record per profile and commit, not one per event.
        var store = Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore(STORE), key, counts).withCachingEnabled();
        return new Topology()
            .addSource("events", key.deserializer(), event.deserializer(), options.get("topic"))
            .addProcessor("count", CountOrders::new, "events")
            .addStateStore(store, "count")
            .addSink("orders", options.get("out"), key.serializer(), identify.serializer(), "count");
    }

    private final class CountOrders implements Processor<String, Event, String, Identify> {
        private ProcessorContext<String, Identify> context;
        private KeyValueStore<String, Map<String, Long>> store;

        @Override
        public void init(ProcessorContext<String, Identify> context) {
            this.context = context;
            this.store = context.getStateStore(STORE);
        }

        @Override
        public void process(Record<String, Event> record) {
            Event event = record.value();
            Map<String, Long> counts = store.get(event.userId());
            if (counts == null) {
                counts = new HashMap<>();
            }
            long count = counts.merge(event.event(), 1L, Long::sum);
            store.put(event.userId(), counts);
            if (event.event().equals(ORDER)) {
                context.forward(record.withValue(new Identify(event.userId(), "identify", Map.of("orders", count))));
            }
            tell(processed.incrementAndGet());
        }
    }

    private void tell(long records) {
        if (records == warm) {
            say("warm", records);
        }
        if (records % PROGRESS_EVERY == 0) {
            say("progress", records);
        }
        if (records == events) {
            say("done", records);
            done.countDown();
        }
    }

    /** Counts what comes back from the changelog; silent where nothing does. */
    private static final class Restore implements StateRestoreListener {
        private final AtomicBoolean begun = new AtomicBoolean();
        private final AtomicLong records = new AtomicLong();

        @Override
        public void onRestoreStart(TopicPartition partition, String store, long from, long to) {
            if (from < to && begun.compareAndSet(false, true)) {
                say("restoring", 0);
            }
        }

        @Override
        public void onBatchRestored(TopicPartition partition, String store, long last, long count) {}

        @Override
        public void onRestoreEnd(TopicPartition partition, String store, long total) {
            records.addAndGet(total);
        }

        void end() {
            if (begun.getAndSet(false)) {
                say("restored", records.get());
            }
        }
    }

    /** One line of the harness's protocol; `t` is the monotonic clock in seconds. */
    private static synchronized void say(String event, long records) {
        double seconds = System.nanoTime() / 1e9;
        System.out.printf("{\"event\":\"%s\",\"records\":%d,\"t\":%.6f}%n", event, records, seconds);
        System.out.flush();
    }

    private static <T> Serde<T> json(TypeReference<T> type) {
        var reader = JSON.readerFor(type);
        var writer = JSON.writerFor(type);
        return Serdes.serdeFrom(
            (topic, value) -> {
                try {
                    return value == null ? null : writer.writeValueAsBytes(value);
                } catch (IOException fault) {
                    throw new UncheckedIOException(fault);
                }
            },
            (topic, bytes) -> {
                try {
                    return bytes == null ? null : reader.readValue(bytes);
                } catch (IOException fault) {
                    throw new UncheckedIOException(fault);
                }
            });
    }
}

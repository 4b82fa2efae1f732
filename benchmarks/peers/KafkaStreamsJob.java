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
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;

/** What the jobs on Kafka Streams share: settings, at least once; the harness's protocol; JSON by Jackson. */
abstract class KafkaStreamsJob {
    private static final long PROGRESS_EVERY = 20_000;
    private static final int COMMIT_INTERVAL_MS = 5_000; // as Quix Streams; the default of 30 s would replay more
    private static final int LINGER_MS = 5; // the client's own default; that of Streams, 100, would be most of the latency
    private static final ObjectMapper JSON = new ObjectMapper();

    protected final Map<String, String> options = new HashMap<>();
    private final long events;
    private final long warm;
    private final AtomicLong processed = new AtomicLong();
    private final CountDownLatch done = new CountDownLatch(1);
    private final AtomicBoolean failed = new AtomicBoolean();

    /** Takes the command line: the job's name, then its options. */
    protected KafkaStreamsJob(String[] arguments) {
        say("started", 0);
        for (int at = 1; at < arguments.length; at += 2) {
            options.put(arguments[at].substring("--".length()), arguments[at + 1]);
        }
        this.events = Long.parseLong(options.get("events"));
        this.warm = Long.parseLong(options.get("warm"));
    }

    protected abstract Topology topology();

    /** Called before the streams start. */
    protected void watch(KafkaStreams streams) {}

    /** Runs until the last event; gives the exit code. */
    protected final int run() throws InterruptedException {
        try (KafkaStreams streams = new KafkaStreams(topology(), settings())) {
            watch(streams);
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

    /** One event more. */
    protected final void tell() {
        long records = processed.incrementAndGet();
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

    /** One line of the harness's protocol; `t` is the monotonic clock in seconds. */
    protected static synchronized void say(String event, long records) {
        double seconds = System.nanoTime() / 1e9;
        System.out.printf("{\"event\":\"%s\",\"records\":%d,\"t\":%.6f}%n", event, records, seconds);
        System.out.flush();
    }

    protected static <T> Serde<T> json(TypeReference<T> type) {
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

import com.fasterxml.jackson.annotation.JsonIgnoreProperties;
import com.fasterxml.jackson.core.type.TypeReference;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.StateRestoreListener;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/** The count job on Kafka Streams: a processor, a RocksDB store with its changelog, at least once. */
public final class KafkaStreamsCount extends KafkaStreamsJob {
    private static final String STORE = "profiles";
    private static final String ORDER = "Order Completed";

    @JsonIgnoreProperties(ignoreUnknown = true)
    record Event(String userId, String event) {}

    record Identify(String userId, String type, Map<String, Long> traits) {}

    private KafkaStreamsCount(String[] arguments) {
        super(arguments);
    }

    public static void main(String[] arguments) throws InterruptedException {
        System.exit(new KafkaStreamsCount(arguments).run());
    }

    @Override
    protected void watch(KafkaStreams streams) {
        Restore restore = new Restore();
        streams.setGlobalStateRestoreListener(restore);
        streams.setStateListener((now, before) -> {
            if (now == KafkaStreams.State.RUNNING) {
                restore.end();
            }
        });
    }

    @Override
    protected Topology topology() {
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
            tell();
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
}

import com.fasterxml.jackson.annotation.JsonFormat;
import com.fasterxml.jackson.annotation.JsonIgnoreProperties;
import com.fasterxml.jackson.annotation.JsonProperty;
import com.fasterxml.jackson.core.type.TypeReference;
import java.math.BigDecimal;
import java.math.MathContext;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.TreeSet;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/**
 * The shop job on Kafka Streams: a processor with one state object for each customer, in RocksDB with its changelog, at
 * least once. Settings as in the count job. The definitions by hand are those of shop_profile.py, which says what they rely on.
 */
public final class KafkaStreamsShop extends KafkaStreamsJob {
    private static final String STORE = "customers";

    private static final long MINUTE = 60_000;
    private static final long HOUR = 60 * MINUTE;
    private static final long DAY = 24 * HOUR;
    private static final long SIGNED_UP_AFTER = instant("2025-07-31");
    private static final long RENEWAL_FROM = instant("2025-11-12T12:00:00");

    private static final String[] KEYS = {
        "browsing", "engaged_visit", "lapsed", "online_viewer", "needs_help", "cart_abandoned", "added_what_they_saw",
        "paid_baskets", "gives_back", "renews_soon", "new_without_order", "long_standing", "delivery_due", "business",
        "from_search_ads", "bargain_hunter", "shoe_people", "big_baskets", "buys_while_browsing", "vip",
        "orders", "revenue", "average_order", "dearest_view", "lowest_sku", "favourite_category", "first_campaign",
        "last_search", "categories_bought", "products_seen",
    };
    private static final int AUDIENCES = 20;

    // ─ what arrives and what leaves ─

    @JsonIgnoreProperties(ignoreUnknown = true)
    record Page(String referrer) {}

    @JsonIgnoreProperties(ignoreUnknown = true)
    record Campaign(String name) {}

    @JsonIgnoreProperties(ignoreUnknown = true)
    record Context(Page page, Campaign campaign) {}

    @JsonIgnoreProperties(ignoreUnknown = true)
    record Payment(String method) {}

    @JsonIgnoreProperties(ignoreUnknown = true)
    record Product(String sku, String category) {}

    @JsonIgnoreProperties(ignoreUnknown = true)
    record About(
        @JsonProperty("product_id") String productId, String category, Double price, String rating, List<String> tags,
        Integer quantity, @JsonProperty("cart_id") String cartId, @JsonProperty("order_id") String orderId, Double total,
        String coupon, String delivery, Payment payment, List<Product> products, Double amount, String query,
        @JsonProperty("utm.source") String campaign) {}

    @JsonIgnoreProperties(ignoreUnknown = true)
    record Event(
        String type, String event, String name, String category, String userId, String sourceId, About properties,
        Map<String, Object> traits, Context context) {}

    record Change(String user, String key, Object value) {}

    // ─ what is kept of a customer ─

    @JsonFormat(shape = JsonFormat.Shape.ARRAY)
    record Amount(long at, double amount) {}

    @JsonFormat(shape = JsonFormat.Shape.ARRAY)
    record Fact(long at, String id) {}

    @JsonFormat(shape = JsonFormat.Shape.ARRAY)
    record Checkout(long at, String order, String cart) {}

    @JsonFormat(shape = JsonFormat.Shape.ARRAY)
    record Order(long at, String id, double total) {}

    /** One customer; JSON in the store. */
    static final class Customer {
        public Object[] said = unsaid();
        public Map<String, Object> traits = new HashMap<>();
        public Long signedUp;
        public Long renewal;
        public boolean business;
        public List<Long> views = new ArrayList<>();
        public List<Long> onlineViews = new ArrayList<>();
        public List<Amount> dear = new ArrayList<>();
        public long rated;
        public LinkedHashMap<String, Long> seen = new LinkedHashMap<>();
        public Map<String, Integer> categories = new HashMap<>();
        public String favourite;
        public String greatest = "";
        public Map<String, Integer> tags = new HashMap<>();
        public int bargains;
        public boolean bargain;
        public List<Fact> unadded = new ArrayList<>();
        public List<Long> added = new ArrayList<>();
        public long visitedAt;
        public int visited;
        public long landed;
        public String campaign;
        public List<Long> helped = new ArrayList<>();
        public Fact search;
        public List<Long> openAdds = new ArrayList<>();
        public List<Fact> unpaid = new ArrayList<>();
        public List<Long> paid = new ArrayList<>();
        public List<Checkout> checkouts = new ArrayList<>();
        public Map<String, Integer> quantities = new HashMap<>();
        public boolean big;
        public int orders;
        public double spent;
        public Double average;
        public double least = Double.MAX_VALUE;
        public String sku;
        public List<Amount> paidOrders = new ArrayList<>();
        public List<Amount> shoes = new ArrayList<>();
        public List<Long> ordered = new ArrayList<>();
        public Map<String, Long> bought = new HashMap<>();
        public List<Long> due = new ArrayList<>();
        public List<Order> unreturned = new ArrayList<>();
        public long returned;
        public boolean overBudget;
        public boolean browsed;

        private static Object[] unsaid() {
            Object[] said = new Object[KEYS.length];
            Arrays.fill(said, 0, AUDIENCES, false);
            said[20] = 0; // orders
            said[29] = 0; // products_seen
            return said;
        }

        void take(Event event, long now) {
            forget(now);
            switch (event.type().equals("track") ? event.event() : event.type()) {
                case "identify" -> identified(event.traits());
                case "page" -> page(event, now);
                case "screen" -> {
                    if (event.name().equals("Help")) {
                        helped.add(now);
                    }
                }
                case "Products Searched" -> search = new Fact(now, event.properties().query());
                case "Product Viewed" -> viewed(event, now);
                case "Product Added" -> added(event.properties(), now);
                case "Checkout Started" -> {
                    About about = event.properties();
                    checkouts.add(new Checkout(now, about.orderId(), about.cartId()));
                }
                case "Order Completed" -> ordered(event.properties(), now);
                case "Order Refunded" -> refunded(event.properties(), now);
                default -> { }
            }
        }

        private void identified(Map<String, Object> news) {
            traits.putAll(news);
            if (news.get("signed_up") instanceof String day) {
                signedUp = instant(day);
            }
            if (news.get("renewal") instanceof String day) {
                renewal = instant(day);
            }
            boolean large = traits.get("company") instanceof Map<?, ?> company && ((Number) company.get("size")).intValue() >= 50;
            Object plan = traits.get("plan");
            Object country = traits.get("address") instanceof Map<?, ?> address ? address.get("country") : null;
            business = (large || "pro".equals(plan) || "enterprise".equals(plan))
                && traits.get("email") instanceof String email && email.endsWith(".example")
                && country != null && !country.equals("US") && !country.equals("CA");
        }

        private void page(Event event, long now) {
            visited = now - visitedAt < 30 * MINUTE ? visited + 1 : 1;
            visitedAt = now;
            String referrer = event.context().page().referrer();
            if ((referrer.contains("google") || referrer.contains("bing"))
                && event.context().campaign() != null
                && event.name().startsWith("Landing")
                && event.category() != null
                && !event.category().equals("help")) {
                landed = now;
            }
            if (campaign == null) {
                campaign = event.properties().campaign();
            }
        }

        private void viewed(Event event, long now) {
            About about = event.properties();
            keepNewest(views, now, 4);
            if (!event.sourceId().equals("pos") && !event.sourceId().equals("import")) {
                keepNewest(onlineViews, now, 8);
            }
            if (Double.parseDouble(about.rating()) >= 4.5) {
                rated = now;
            }
            while (!dear.isEmpty() && dear.get(dear.size() - 1).amount() <= about.price()) {
                dear.remove(dear.size() - 1);
            }
            dear.add(new Amount(now, about.price()));
            seen.remove(about.productId()); // so that the first ones are the oldest
            seen.put(about.productId(), now);
            favourite = countedMode(categories, about.category(), 3);
            greatest = about.category().compareTo(greatest) > 0 ? about.category() : greatest;
            unadded.add(new Fact(now, about.productId()));
            if (about.tags() != null) {
                String often = countedMode(tags, "[\"" + String.join("\",\"", about.tags()) + "\"]", 3);
                boolean sale = about.tags().stream().anyMatch(tag -> tag.contains("sale"));
                if (sale && about.price() <= 40 && about.tags().stream().noneMatch(tag -> tag.contains("new"))) {
                    bargains++;
                }
                bargain = bargains >= 5 || "[\"sale\"]".equals(often);
            }
        }

        private void added(About about, long now) {
            big = "3".equals(countedMode(quantities, about.quantity().toString(), 3));
            openAdds.add(now);
            unpaid.add(new Fact(now, about.cartId()));
            for (Iterator<Fact> waiting = unadded.iterator(); waiting.hasNext(); ) {
                Fact view = waiting.next();
                if (view.id().equals(about.productId()) && view.at() < now) {
                    keepNewest(added, view.at(), 2);
                    waiting.remove();
                }
            }
        }

        private void ordered(About about, long now) {
            double total = about.total();
            browsed |= orders >= 1 && isBrowsing(now);
            overBudget |= traits.get("budget") instanceof Number budget && total > budget.doubleValue();
            orders++;
            spent += total;
            average = rounded(spent / orders);
            least = Math.min(least, total);
            Set<String> inOrder = new HashSet<>();
            for (Product product : about.products()) {
                inOrder.add(product.category());
                bought.put(product.category(), now);
                if (sku == null || product.sku().compareTo(sku) < 0) {
                    sku = product.sku();
                }
            }
            paidOrders.add(new Amount(now, total));
            ordered.add(now);
            unreturned.add(new Order(now, about.orderId(), total));
            if (inOrder.contains("Running Shoes") && (about.coupon() == null || about.coupon().equals("STEPS"))) {
                shoes.add(new Amount(now, total));
            }
            if (!about.payment().method().equals("invoice")) {
                due.add(instant(about.delivery()));
            }
            openAdds.removeIf(at -> at < now && now <= at + 2 * HOUR);
            for (Checkout checkout : checkouts) {
                if (checkout.order().equals(about.orderId()) && checkout.at() < now) {
                    paidFor(checkout);
                }
            }
        }

        /** Of the products added, those whose checkout has now been paid for. */
        private void paidFor(Checkout checkout) {
            for (Iterator<Fact> waiting = unpaid.iterator(); waiting.hasNext(); ) {
                Fact add = waiting.next();
                if (add.id().equals(checkout.cart()) && add.at() < checkout.at() && checkout.at() <= add.at() + 2 * DAY) {
                    keepNewest(paid, add.at(), 3);
                    waiting.remove();
                }
            }
        }

        private void refunded(About about, long now) {
            for (Iterator<Order> waiting = unreturned.iterator(); waiting.hasNext(); ) {
                Order order = waiting.next();
                if (order.id().equals(about.orderId()) && order.at() < now && about.amount() >= order.total()) {
                    returned = Math.max(returned, order.at());
                    waiting.remove();
                }
            }
        }

        /** What no answer can need any more; each list is in the order of time. */
        private void forget(long now) {
            dropTimes(helped, now - DAY);
            dropTimes(ordered, now - DAY);
            dropTimes(openAdds, now - 3 * DAY);
            dropAmounts(dear, now - 2 * DAY);
            dropAmounts(paidOrders, now - 7 * DAY);
            dropAmounts(shoes, now - 8 * DAY);
            dropFacts(unadded, now - HOUR - 1);
            dropFacts(unpaid, now - 3 * DAY - 1);
            while (!checkouts.isEmpty() && checkouts.get(0).at() < now - DAY) {
                checkouts.remove(0);
            }
            while (!unreturned.isEmpty() && unreturned.get(0).at() <= now - 5 * DAY) {
                unreturned.remove(0);
            }
            for (Iterator<Long> times = seen.values().iterator(); times.hasNext() && times.next() <= now - DAY; ) {
                times.remove();
            }
            due.removeIf(at -> at <= now);
        }

        private boolean isBrowsing(long now) {
            return views.size() == 4 && views.get(0) > now - 30 * MINUTE;
        }

        /** Every definition's value, in the order of KEYS. */
        Object[] answers(long now) {
            long newestOrder = paidOrders.isEmpty() ? 0 : paidOrders.get(paidOrders.size() - 1).at();
            Double revenue = total(paidOrders);
            boolean givesBack = returned > now - 5 * DAY;
            List<String> recent = new ArrayList<>(new TreeSet<>(bought.keySet()));
            recent.removeIf(category -> bought.get(category) <= now - 6 * DAY);
            boolean soonDue = false;
            for (long at : due) {
                soonDue |= at <= now + 2 * DAY;
            }
            Double shoesTotal = total(shoes);
            return new Object[] {
                isBrowsing(now),
                visited >= 6 && now - visitedAt < 30 * MINUTE,
                newestOrder > now - 6 * DAY && newestOrder <= now - 2 * DAY && rated > now - 6 * DAY,
                orders > 0 && least < 120 && onlineViews.size() == 8 && onlineViews.get(0) > now - 4 * DAY,
                helped.size() > ordered.size(),
                !openAdds.isEmpty(),
                added.size() == 2 && added.get(0) > now - 7 * DAY,
                paid.size() == 3 && paid.get(0) > now - 5 * DAY,
                givesBack,
                renewal != null && now < renewal && renewal <= now + 3 * DAY,
                signedUp != null && now - 5 * DAY < signedUp && signedUp <= now && orders == 0,
                isLongStanding(now),
                soonDue,
                business,
                landed > now - 2 * DAY,
                bargain,
                shoesTotal != null && shoesTotal >= 150 && greatest.equals("Running Shoes"),
                overBudget || big,
                browsed,
                revenue != null && revenue >= 300 && !givesBack,
                orders,
                revenue,
                average,
                dear.isEmpty() ? null : (Object) dear.get(0).amount(),
                sku,
                favourite,
                campaign,
                search != null && search.at() > now - 3 * DAY ? search.id() : null,
                recent.isEmpty() ? null : recent,
                seen.size(),
            };
        }

        private boolean isLongStanding(long now) {
            return signedUp != null && SIGNED_UP_AFTER < signedUp && signedUp <= now - 60 * DAY
                && renewal != null && renewal >= RENEWAL_FROM && renewal > now + 7 * DAY;
        }
    }

    // ─ arithmetic ─

    private static long instant(String text) {
        LocalDateTime at = text.length() == 10 ? LocalDate.parse(text).atStartOfDay() : LocalDateTime.parse(text);
        return at.toInstant(ZoneOffset.UTC).toEpochMilli();
    }

    /** Adds a time, which may be older than others; only the newest are kept. */
    private static void keepNewest(List<Long> times, long at, int most) {
        int place = times.size();
        while (place > 0 && times.get(place - 1) > at) {
            place--;
        }
        times.add(place, at);
        if (times.size() > most) {
            times.remove(0);
        }
    }

    private static void dropTimes(List<Long> times, long until) {
        while (!times.isEmpty() && times.get(0) <= until) {
            times.remove(0);
        }
    }

    private static void dropAmounts(List<Amount> amounts, long until) {
        while (!amounts.isEmpty() && amounts.get(0).at() <= until) {
            amounts.remove(0);
        }
    }

    private static void dropFacts(List<Fact> facts, long until) {
        while (!facts.isEmpty() && facts.get(0).at() <= until) {
            facts.remove(0);
        }
    }

    /** Counts one more, and gives the most frequent; of several the first in the order of the text. */
    private static String countedMode(Map<String, Integer> counts, String key, int least) {
        counts.merge(key, 1, Integer::sum);
        String found = null;
        int most = least - 1;
        for (Map.Entry<String, Integer> entry : counts.entrySet()) {
            int times = entry.getValue();
            if (times > most || (found != null && times == most && entry.getKey().compareTo(found) < 0)) {
                found = entry.getKey();
                most = times;
            }
        }
        return found;
    }

    private static Double total(List<Amount> amounts) {
        if (amounts.isEmpty()) {
            return null;
        }
        double sum = 0;
        for (Amount each : amounts) {
            sum += each.amount();
        }
        return rounded(sum);
    }

    /** To 12 significant digits, as the language has it. */
    private static double rounded(double value) {
        return new BigDecimal(value).round(new MathContext(12)).doubleValue();
    }

    // ─ the process ─

    private KafkaStreamsShop(String[] arguments) {
        super(arguments);
    }

    public static void main(String[] arguments) throws InterruptedException {
        System.exit(new KafkaStreamsShop(arguments).run());
    }

    @Override
    protected Topology topology() {
        Serde<Customer> customer = json(new TypeReference<>() {});
        Serde<Event> event = json(new TypeReference<>() {});
        Serde<Change> change = json(new TypeReference<>() {});
        Serde<String> key = Serdes.String();
        // Cached, as every store of the DSL is: one changelog record per customer and commit, not one per event.
        var store = Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore(STORE), key, customer).withCachingEnabled();
        return new Topology()
            .addSource("events", key.deserializer(), event.deserializer(), options.get("topic"))
            .addProcessor("evaluate", Evaluate::new, "events")
            .addStateStore(store, "evaluate")
            .addSink("changes", options.get("out"), key.serializer(), change.serializer(), "evaluate");
    }

    private final class Evaluate implements Processor<String, Event, String, Change> {
        private ProcessorContext<String, Change> context;
        private KeyValueStore<String, Customer> store;

        @Override
        public void init(ProcessorContext<String, Change> context) {
            this.context = context;
            this.store = context.getStateStore(STORE);
        }

        @Override
        public void process(Record<String, Event> record) {
            Event event = record.value();
            Customer customer = store.get(event.userId());
            if (customer == null) {
                customer = new Customer();
            }
            customer.take(event, record.timestamp());
            Object[] before = customer.said;
            Object[] values = customer.answers(record.timestamp());
            customer.said = values;
            store.put(event.userId(), customer);
            for (int at = 0; at < KEYS.length; at++) {
                if (!Objects.equals(values[at], before[at])) {
                    context.forward(record.withValue(new Change(event.userId(), KEYS[at], values[at])));
                }
            }
            tell();
        }
    }
}

"""The job's definitions. Between them they use every construct of the language for users; a test holds that."""

from app.definitions.model import Definition

_AUDIENCES = {
    # Windows, sessions, sources
    "browsing": "event('Product Viewed').within(30 minutes).count() >= 4",
    "engaged_visit": "event('Page Viewed').expires_after(30 minutes).count() >= 6",
    "lapsed": (
        "event('Order Completed').between(2 days, 6 days).count() >= 1"
        " AND event('Order Completed').within(2 days).count() = 0"
        " AND event('Product Viewed').within(6 days).max(property('rating') as number) >= 4.5"
    ),
    "online_viewer": (
        "event('Product Viewed').sources(exclude: {'pos', 'import'}).within(4 days).count().at_least(8)"
        " AND event('Order Completed').min(property('total') as number).less_than(120)"
    ),
    "needs_help": (
        "event('Screen Viewed').where(property('name') == 'Help').within(1 day).count()"
        " > event('Order Completed').within(1 day).count()"
    ),
    # Funnels, two and three deep
    "cart_abandoned": (
        "event('Product Added').within(3 days)"
        ".where(event('Order Completed').within(parent: 2 hours).count() = 0).count() >= 1"
    ),
    "added_what_they_saw": (
        "event('Product Viewed').within(7 days).where(event('Product Added')"
        ".where(property('product_id') = property(parent: 'product_id')).within(parent: 1 hour).count() >= 1"
        ").count() >= 2"
    ),
    "paid_baskets": (
        "event('Product Added').within(5 days).where(event('Checkout Started').where("
        "property('cart_id') = property(parent: 'cart_id') AND event('Order Completed')"
        ".where(property('order_id') = property(parent: 'order_id')).within(parent: 1 day).count() >= 1"
        ").within(parent: 2 days).count() >= 1).count() >= 3"
    ),
    "gives_back": (
        "event('Order Completed').within(5 days).where(event('Order Refunded').where("
        "property('order_id') = property(parent: 'order_id') AND property('amount') >= property(parent: 'total')"
        ").count() >= 1).count() >= 1"
    ),
    # Dates, which flip as time passes
    "renews_soon": "trait('renewal').within_next(3 days)",
    "new_without_order": "trait('signed_up').within_last(5 days) AND NOT trait('orders') > 0",
    "long_standing": (
        "trait('signed_up').before_last(60 days) AND trait('signed_up').after_date(2025-07-31)"
        " AND NOT trait('renewal').before_date(2025-11-12T12:00:00Z) AND trait('renewal').after_next(1 week)"
    ),
    "delivery_due": (
        "event('Order Completed').where(property('delivery').within_next(2 days)"
        " AND property('payment.method') != 'invoice').count() >= 1"
    ),
    # Texts, lists, what is missing
    "business": (
        "(trait('plan').one_of('pro', 'enterprise') OR trait('company.size') >= 50)"
        " AND trait('email').ends_with('.example') AND trait('address.country').none_of('US', 'CA')"
    ),
    "from_search_ads": (
        "event('Page Viewed').where(context('page.referrer').contains('google', 'bing')"
        " AND context('campaign.name').exists() AND property('name').starts_with('Landing')"
        " AND property('category').differs('help')).within(2 days).count() >= 1"
    ),
    "bargain_hunter": (
        "event('Product Viewed').where(property('tags.$').contains('sale') AND property('tags.$').omits('new')"
        " AND property('price').at_most(literal(40))).count() >= 5"
        " OR event('Product Viewed').mode(property('tags') as array, 3) = '[\"sale\"]'"
    ),
    "shoe_people": (
        "event('Order Completed').where(property('products.$.category') = 'Running Shoes'"
        " AND (property('coupon').absent() OR property('coupon').equals('STEPS')))"
        ".within(8 days).sum(property('total')) >= 150"
        " AND event('Product Viewed').max(property('category') as string) = 'Running Shoes'"
    ),
    # Of other definitions and of custom traits
    "big_baskets": (
        "event('Order Completed').where(property('total') > trait('budget')).count() >= 1"
        " OR event('Product Added').mode(property('quantity') as number, 3) = 3"
    ),
    "buys_while_browsing": (
        "event('Order Completed').where(trait('orders') >= 1 AND trait('browsing') = true).count().greater_than(0)"
    ),
    "vip": "trait('revenue') >= 300 AND trait('gives_back') = false",
}

_TRAITS = {
    "orders": "event('Order Completed').count()",
    "revenue": "event('Order Completed').within(7 days).sum(property('total'))",
    "average_order": "event('Order Completed').avg(property('total'))",
    "dearest_view": "event('Product Viewed').within(2 days).max(property('price'))",
    "lowest_sku": "event('Order Completed').min(property('products.$.sku') as string)",
    "favourite_category": "event('Product Viewed').mode(property('category') as string, 3)",
    "first_campaign": r"event('Page Viewed').first(property('utm\.source'))",
    "last_search": "event('Products Searched').within(3 days).last(property('query'))",
    "categories_bought": "event('Order Completed').within(6 days).unique(property('products.$.category'))",
    "products_seen": "event('Product Viewed').within(1 day).unique(property('product_id')).count()",
}

DEFINITIONS = tuple(
    [Definition(key, "audience", query) for key, query in _AUDIENCES.items()]
    + [Definition(key, "trait", query) for key, query in _TRAITS.items()]
)
"""20 audiences, then 10 traits."""

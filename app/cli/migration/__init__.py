"""`headwater import`: another product's definitions → a configuration.

One folder reads in the order of the flow: `segment_export` (JSON → what it says), `mapping` (→ definitions of ours, and
what has no counterpart), `document` (→ YAML). The mapping is a table in app/definitions/README.md.
"""

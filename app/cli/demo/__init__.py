"""`headwater demo`: a shop, its events, and proof that every change it caused was delivered.

`shop` plans a seeded stream of events, visit by visit (`visits`); `truth` says, by its own small book-keeping of who is
who and of what each `person` does, which changes that stream must cause; `sample` is the configuration; `feeder` sends
the stream on time; `receiver` is the tool that the changes go to, `log_reader` reads what the log holds; `board` keeps
the running figures, `view` shows them, `summary` checks them against the truth; `play` runs it all on a `deployment` of
its own, `command` is its command line.

Nothing here is needed by the engine: it knows the demo only as a configuration, a producer and a webhook.
"""

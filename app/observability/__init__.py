"""What a process tells about itself: metrics, logs, health, a watchdog, and the failpoints that tests kill it with.

Takes facts from the runtimes, per batch; gives Prometheus text, JSON lines and HTTP answers. Promises: no label holds
a profile or free text, no log line a registered secret, and nothing here needs a broker or a framework.
"""

"""The delivery job: how fast a sender is, what its retries weigh, and what a sick destination does to a well one."""

"""Who an event belongs to. Pure. For now the simple rule: the user id if there is one, else the anonymous id."""

"""A real Apache Kafka on this machine, with no Java and no Maven installed: for `up`, `demo` and the tests.

Takes a directory. Gives a single-node broker (KRaft) on loopback, as a child process that does not outlive its parent,
with bounded memory and a log that survives restarts. Promises: what it runs is what the lock file names, byte for byte;
two brokers never share a directory; a broker that does not start says why.
"""

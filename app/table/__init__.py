"""A table of bytes on disk, with the changelog offset that it stands for; the home of RocksDB beside the stream's."""

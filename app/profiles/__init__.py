"""What a profile remembers, and how an event changes it. Pure.

Cells are the words of memory: definitions compile to them, folding fills them, evaluation reads them.
"""

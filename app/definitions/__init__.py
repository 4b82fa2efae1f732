"""The definition language: text → tree → checked definitions in order of dependence → plan. Pure.

Takes the definitions of a catalogue as their authors wrote them; gives what can be evaluated, and for all that cannot
one error each that names the key, the place, what was found and what was expected. README.md is the language.
"""

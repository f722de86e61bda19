"""The methods of ``synthesize``: what each asks a teacher, how strictly answers are read, and which rows come of them.

``methods`` is the table; ``prompts`` holds every word that a teacher reads; ``forms`` says what an answer must look like;
``asking`` asks and writes down; ``sifting`` keeps and drops. A method plans and reads: it never asks and never writes.
"""

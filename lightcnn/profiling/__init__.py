"""`lightcnn profile` and `lightcnn.profile`: what networks cost, counted and measured, next to each other.

Begin with `job`, which profiles all targets of the command, and `profile`, which profiles one model from Python. In
order: `settings`, `columns` (the table and its formats), `terminal`, `profile`, `targets` (from what is typed to
networks), `figures`, `page`, `report` (the files of the run folder), `job`.
"""

"""`lightcnn audit`: what is wrong with labelled images, reported before anything is trained on them.

Begin with `job.run`. Modules build on each other in this order: `settings` (with the table of findings), `audit` (the
findings), `verdict` (one paragraph in words), `report`, `figures`, `page`, `job`; `terminal` prints the tables.
"""

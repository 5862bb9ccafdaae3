"""`lightcnn compare`: finished runs compared on the same test images, pair by pair.

Begin with `job.run`. Modules build on each other in this order: `settings`, `run_report` and `run_predictions` (what is
read of a run), `matching` (one order of images for all runs), `run_differences` (what else differs between two runs),
`pairs` (tests and intervals), `wording` (sentences and notes), `figures`, `page`, `report`, `job`; `terminal` prints a
table. `lightcnn.ablating` uses `run_predictions`, `pairs`, `wording` and `figures` as well.
"""

"""`lightcnn ablate`: a recipe trained as it is and once per change, each change compared with the unchanged recipe.

Begin with `job.run`. Modules build on each other in this order: `settings`, `surgery` (changes of a network),
`variants` (changes of a recipe), `plan` (what is trained), `progress`, `figures`, `page`, `report`, `job`; `terminal`
shows the progress and the tables. This package alone builds on `lightcnn.training` and `lightcnn.comparing`.
"""

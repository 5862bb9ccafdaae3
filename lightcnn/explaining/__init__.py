"""`lightcnn explain` and `lightcnn.explain`: maps that show where a network looks, and checks of these maps.

Begin with `job.py` (the command) and `explain.py` (the Python function). Modules build on each other in this order:
`settings`, `explained_network`, `methods/`, `checks/`, `explanation`, `images/`, `figures/`, then the run folder
(`saved_explanations`, `results`, `report`, `page`), and `setup` and `job` on top.
"""

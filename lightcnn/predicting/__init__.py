"""`lightcnn predict`: the predictions of a trained network for files and folders of any size.

Begin with `job`. In order: `settings` (what to predict), `outputs` (where predictions are written, one image after the
other), `job` (the work), `report` (the JSON document, and the error if images were skipped).
"""

"""Scores of predictions and their uncertainty: intervals, calibration, thresholds, paired tests, and their figures.

Begin with `scores`, the metrics of report.json. In order: `bootstrap` (draws of whole groups), `intervals`,
`sample_size`, `calibration`, `thresholds`, `labelled_predictions` and `score_values` (what scores are computed from),
`scores`. `predictions` writes and reads predictions.csv. `paired_tests` and `auc_variance` compare two sets of
predictions for the same images. `roc` and `figures` draw.
"""

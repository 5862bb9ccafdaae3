"""`lightcnn search`: the best network within a budget.

Begin with `job`: `run` is a search from its settings to its run folder, `estimate` its dry run. In the order in which
modules build on each other: `settings` and `progress`; `widths` and `budgeted_space`, the candidates; `trials`, the
study on disk and the search loop, which know nothing of networks; `strategies`, how candidates are proposed, and how
their final scores are predicted; `plan`, how time is spent; `teaching`, the teacher that networks learn from;
`trainings`, how networks are trained; `ensemble`, what second trainings learn from; `final_phase`; `comparison`,
numbers of report.json; `report`, the files of the run; `session`, what is done from the first trial to the report;
`job`; and `terminal`, what people see.
"""

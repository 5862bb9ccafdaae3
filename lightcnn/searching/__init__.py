"""`lightcnn search`: the best network within a budget.

Begin with `job`: `run` is a search from its settings to its run folder, `estimate` its dry run. In the order in which
modules build on each other: `settings` and `progress`; `budgeted_space`, the candidates; `strategies`, how they are
proposed; `storage`, the study on disk; `halving` and `searcher`, the search loop, which knows nothing of networks;
`scoring`, the training of candidates; `plan`, how time is spent; `figures`, `page` and `report`, the files of the run;
`job`; and `terminal`, what people see.
"""

"""What a search writes into its run folder: report.json, report.html, its charts, the network, and trials.csv.

Begin with `report.write_report`. From the bottom up: `wording`, the sentences; `terminal`, what is printed at the end;
`trial_table`, `predictions` and `figures`; `front`, `front_chart` and `front_neighbours`, of a Pareto front; `page`
with its template; and `report`.
"""

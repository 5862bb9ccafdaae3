"""What a training writes into its run folder: report.json, report.html, a model card, figures and tables.

Begin with `report.write_report` for one training, `pooled.write_pooled` for several. From the bottom up: wording, the
scores in sentences; predictions and tables; figures and chart_set; card_facts and model_card; page; report; and
pooled_page, pooled_card and pooled, the same for several trainings.
"""

"""How results are shown: HTML pages, Markdown, charts and terminal views, for all commands.

Begin with `html`, which renders report.html from the `templates`, and `charts`, which draws what pages and `plots/`
show. `warnings` has the codes of what a report warns of, `caveats` those about the data as sentences, and `report` the
keys that every report.json begins with. `console` prints, and `terminal` has the live views.
"""

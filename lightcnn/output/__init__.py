"""How results are shown: HTML pages, Markdown, figures and terminal views, for all commands.

Begin with `html`, which makes report.html, and `figures`, which every plot uses. `hotspots` builds on both. `warnings`
has the codes of what a report warns of, `caveats` those about the data as sentences, and `report` the keys that every
report.json begins with. `plotting` imports matplotlib, for all figures, and `fonts` finds fonts for names.
`console` prints, and `terminal` has the live views.
"""

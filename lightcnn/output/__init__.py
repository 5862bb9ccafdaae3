"""How results are shown: HTML pages, Markdown, figures and terminal views, for all commands.

Begin with `html`, which makes report.html, and `figures`, which every plot uses. `hotspots` builds on both; `markdown`,
`terminal` and `caveats` (sentences about the data that every report contains) build on none of them.
"""

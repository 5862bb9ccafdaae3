"""From the settings of `lightcnn explain` to what explains: `explain_setup` has what the job needs to know.

`run_setup` opens a run, by all methods; `file_setup` an exported file, without torch. `prepare` chooses. For the Python
function, `opened_network` opens a run or a module of torch, and `opened_file` an exported file; `opened_model` has what
the function needs of either.
"""

"""`lightcnn export`: files of a trained network for other runtimes and for microcontrollers, compared with PyTorch.

Begin with `job` (`run` writes the folder). `formats` lists the formats, `subject` is what is exported, `comparison`
compares files with PyTorch, and each format has its own module; `c` generates C, and `device` runs it on an emulated
microcontroller.
"""

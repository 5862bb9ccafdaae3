"""`lightcnn export`: files of a trained network for other runtimes and for microcontrollers, compared with PyTorch.

Begin with `job` (`run` writes the folder). `formats` lists the formats, `subject` is what is exported, and each format
has a module of its own; `c` generates C, and `device` runs it on an emulated microcontroller.
"""

"""ONNX files: written, read as untrusted, counted and run. Only this package imports the optional extra `onnx`.

Begin with `read` (a file becomes a checked graph) and `count` (a graph becomes the same `Count` as a module). `extra`
checks that the extra is installed, `runtime` runs and quantizes files with ONNX Runtime, and `write` exports a module.
"""

"""`.tflite` files in fp32 and int8, written from the program of a network and run by TensorFlow Lite Micro.

Begin with `operators` (steps of a program become operators of the format). `flatbuffer` has the parts of a file,
`micro` is the only module that needs the extra `tflite`, and `float_file` and `int8_file` are the two formats.
"""

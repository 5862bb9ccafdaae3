"""The formats `onnx` and `onnx-int8`: the files of ONNX with preprocessing, probabilities and facts in them.

Begin with `onnx_file`; `onnx_int8` quantizes the network before the same file is completed, `harm` names the parts that
cost accuracy in 8 bits, and `parity` compares a file with PyTorch at the network's size and at others.
"""

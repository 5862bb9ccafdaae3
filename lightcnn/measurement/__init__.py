"""Latency and memory of a network, measured on this machine. It knows networks and files, but no command.

Begin with `latency`, which times networks in interleaved rounds. `runtimes` prepares what it times: a network in
PyTorch or ONNX Runtime, under the names in `runtime_names`. `memory` measures resident memory in a new process.
"""

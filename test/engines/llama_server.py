"""Serves a GGUF file with llama.cpp's own HTTP server on a free loopback port.

Prints the address once it listens and ends when its standard input is closed, so that
it never outlives the test that started it. One thread: with more threads than free
cores ggml's barriers spin.
"""

import sys

import xllamacpp

params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.port = 0
params.cpuparams.n_threads = 1
params.cpuparams_batch.n_threads = 1
params.n_threads_http = 4
params.n_ctx = 16384
params.n_parallel = 4
params.embedding = True
params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
params.endpoint_metrics = True
params.verbosity = 0
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
sys.stdin.read()

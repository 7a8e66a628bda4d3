"""Serves a small model over llama.cpp's HTTP API on loopback; arguments: model file, port."""

import sys
import time

import xllamacpp

params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.port = int(sys.argv[2])
params.n_ctx = 4096
params.n_parallel = 1
params.n_gpu_layers = 0
params.cpuparams.n_threads = 1
# One server answers both chat and embeddings; mean pooling gives one vector for each input.
params.embedding = True
params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN

server = xllamacpp.Server(params)
print("serving", server.listening_address, flush=True)
while True:
    time.sleep(3600)

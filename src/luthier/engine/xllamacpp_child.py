"""llama.cpp's server for one GGUF, run by the interpreter of its own environment: it imports nothing of ours."""

import signal
import sys
import threading


def main() -> None:
    """Serve FILE as NAME on a loopback PORT to whoever has KEY, until told to stop."""
    import xllamacpp

    file, name, port, key = sys.argv[1:]
    parameters = xllamacpp.CommonParams()
    parameters.model.path = file
    parameters.model_alias = {name}
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = int(port)
    parameters.api_keys = [key]
    parameters.n_parallel = 8
    parameters.kv_unified = True  # else each of them has an eighth of the context
    parameters.use_jinja = True
    server = xllamacpp.Server(parameters)
    stopped = threading.Event()
    for kind in (signal.SIGINT, signal.SIGTERM):
        signal.signal(kind, lambda *_: stopped.set())
    stopped.wait()
    del server


if __name__ == "__main__":
    main()

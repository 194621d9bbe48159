"""Ports of 127.0.0.1 that servers of tests are told to listen on."""

import socket


def free_port():
    """Nobody else gets it as long as this process lives, also while its server is down: a socket that
    does not listen stays bound to it. Servers, which set SO_REUSEADDR, do not mind."""
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("127.0.0.1", 0))
    port = s.getsockname()[1]
    s.detach()
    return port

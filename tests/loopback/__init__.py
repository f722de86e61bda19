"""Platforms that tests own: real servers on 127.0.0.1, driven by the real libraries over real sockets."""

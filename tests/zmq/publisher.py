"""A publisher as MISP's mispzmq.py is one, by the distribution's libzmq (python3-zmq).

Called with a port of 127.0.0.1, or 0 for a free one. Standard output says `port N`,
then `+TOPIC` or `-TOPIC` for each subscription that has come or gone: a socket of the
type XPUB is one of the type PUB that tells. Standard input has frames to send, each
behind its length as a line of its own; each is one message. Ends with its input.
"""

import os
import sys

import zmq

LONGEST_READ = 1 << 20


def subscriptions(socket):
    while socket.getsockopt(zmq.EVENTS) & zmq.POLLIN:
        told = socket.recv()
        print(("+" if told[:1] == b"\1" else "-") + told[1:].decode(), flush=True)


def frames(buffered):
    """Takes the whole frames from the front of a buffer."""
    while (end := buffered.find(b"\n")) >= 0:
        length = int(buffered[:end])
        if len(buffered) <= end + length:
            return
        frame = bytes(buffered[end + 1 : end + 1 + length])
        del buffered[: end + 1 + length]
        yield frame


def main(port):
    socket = zmq.Context().socket(zmq.XPUB)
    # A burst must not depend on how fast the one at the other end is: MISP's keeps 1,000.
    socket.setsockopt(zmq.SNDHWM, 0)
    socket.setsockopt(zmq.LINGER, 0)
    # Also told where another connection has the same subscription.
    socket.setsockopt(zmq.XPUB_VERBOSER, 1)
    socket.bind(f"tcp://127.0.0.1:{port or '*'}")
    print("port", socket.getsockopt(zmq.LAST_ENDPOINT).rsplit(b":", 1)[1].rstrip(b"\0").decode(), flush=True)
    poller = zmq.Poller()
    poller.register(0, zmq.POLLIN)
    poller.register(socket, zmq.POLLIN)
    buffered = bytearray()
    while True:
        ready = dict(poller.poll())
        subscriptions(socket)
        if 0 in ready:
            read = os.read(0, LONGEST_READ)
            if not read:
                return
            buffered += read
            for frame in frames(buffered):
                socket.send(frame)


main(int(sys.argv[1]))

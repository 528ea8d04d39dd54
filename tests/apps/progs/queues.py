"""ZeroMQ's patterns, each on a port of its own: queues.py server|client PORT PORT PORT PORT"""
import random
import sys
import threading

import zmq

COUNT = 2000


def make(context, kinds, act):
    made = []
    for kind, port in zip(kinds, sys.argv[2:]):
        made.append(context.socket(kind))
        made[-1].set_hwm(0)
        getattr(made[-1], act)(f"tcp://127.0.0.1:{port}")
    return made


def server(context):
    rep, pull, pub, router = make(context, (zmq.REP, zmq.PULL, zmq.PUB, zmq.ROUTER), "bind")
    poller = zmq.Poller()
    for sock in (rep, pull, router):
        poller.register(sock, zmq.POLLIN)
    while True:
        for sock, _ in poller.poll():
            if sock is pull:
                pub.send(pull.recv())
            else:
                sock.send_multipart(sock.recv_multipart())


def client(context):
    req, push, sub, dealer = make(context, (zmq.REQ, zmq.PUSH, zmq.SUB, zmq.DEALER), "connect")
    some = random.Random(1)
    for _ in range(COUNT):
        message = some.randbytes(some.choice((1, 100, 5000)))
        req.send(message)
        assert req.recv() == message
    sub.setsockopt(zmq.SUBSCRIBE, b"")
    while True: # until the subscription has arrived
        push.send(b"x")
        if sub.poll(100):
            break
    sent = [b"%d " % i + some.randbytes(some.choice((10, 300, 20000))) for i in range(COUNT)]
    pusher = threading.Thread(target=lambda: [push.send(message) for message in sent])
    pusher.start()
    got = []
    while len(got) < COUNT:
        message = sub.recv()
        if message != b"x":
            got.append(message)
    pusher.join()
    assert got == sent
    for message in sent:
        dealer.send(message)
    assert [dealer.recv() for _ in sent] == sent
    print("good", flush=True)


{"server": server, "client": client}[sys.argv[1]](zmq.Context())

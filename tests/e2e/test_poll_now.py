"""A program that polls without waiting learns of everything, too."""
import pytest

RESET = """
import select, socket, sys
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen()
a = socket.create_connection(listener.getsockname())
b, _ = listener.accept()
for _ in range(3):
    a.send(b"x")
    b.recv(1)
    b.send(b"x")
    a.recv(1)
a.send(b"y" * 60000)
b.recv(1024)
b.close()
poll = select.poll()
poll.register(a, select.POLLIN)
for _ in range(1000):
    if sys.argv[1] == "poll" and poll.poll(0) or \
       sys.argv[1] == "select" and select.select([a], [], [], 0)[0]:
        break
else:
    sys.exit("never readable")
try:
    print(a.recv(1))
except ConnectionResetError:
    print("reset")
"""


@pytest.mark.parametrize("how", ["poll", "select"])
def test_reset(procs, under, how):
    """The peer closes with data unread. There is no record of that in the ring."""
    out = procs.run(under(["/usr/bin/python3", "-c", RESET, how]), env={"SCILAN_CHAOS": "pairs"})
    assert out.decode().strip() == "reset"

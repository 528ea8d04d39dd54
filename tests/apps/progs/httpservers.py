"""
httpservers.py KIND PORT DIRECTORY: GET sends a file of the directory, POST answers with what it got.

KIND: fork and thread are socketserver's mix-ins, asyncio is its streams.
"""
import asyncio
import http.server
import pathlib
import socketserver
import sys


class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, *args):
        super().__init__(*args, directory=sys.argv[3])

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        for at in range(0, len(body), 65536):
            self.wfile.write(body[at:at + 65536])

    def log_message(self, *_):
        pass


class Forking(socketserver.ForkingTCPServer):
    allow_reuse_address = True


class Threading(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


async def answer(reader, writer):
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    method, path, _ = head.split(" ", 2)
    length = [int(line.split(":")[1]) for line in head.splitlines()
              if line.lower().startswith("content-length:")]
    if method == "POST":
        body = await reader.readexactly(length[0])
    else:
        body = (pathlib.Path(sys.argv[3]) / path.lstrip("/")).read_bytes()
    writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body))
    for at in range(0, len(body), 65536):
        writer.write(body[at:at + 65536])
        await writer.drain()
    writer.close()
    await writer.wait_closed()


async def serve_streams(address):
    server = await asyncio.start_server(answer, *address)
    await server.serve_forever()


kind, address = sys.argv[1], ("127.0.0.1", int(sys.argv[2]))
if kind == "asyncio":
    asyncio.run(serve_streams(address))
else:
    {"fork": Forking, "thread": Threading}[kind](address, Handler).serve_forever()

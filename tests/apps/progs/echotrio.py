"""An echo server with the loop of trio: echotrio.py PORT"""
import sys

import trio


async def serve(stream):
    async with stream:
        async for data in stream:
            await stream.send_all(data)

trio.run(trio.serve_tcp, serve, int(sys.argv[1]))

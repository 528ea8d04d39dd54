"""
aweb.py KIND PORT DIRECTORY: as wsgi.py does, on an event loop.

KIND: uvloop (aiohttp on libuv), tornado.
"""
import asyncio
import hashlib
import pathlib
import sys

kind, port, directory = sys.argv[1], int(sys.argv[2]), pathlib.Path(sys.argv[3])


def use_uvloop():
    import uvloop
    from aiohttp import web

    async def get(request):
        return web.FileResponse(directory / request.match_info["name"])

    async def post(request):
        digest = hashlib.sha256()
        async for piece in request.content.iter_any():
            digest.update(piece)
        return web.Response(text=digest.hexdigest())

    app = web.Application()
    app.add_routes([web.get("/{name}", get), web.post("/{name}", post)])
    uvloop.install()
    web.run_app(app, host="127.0.0.1", port=port, print=None)


def use_tornado():
    import tornado.web

    class Handler(tornado.web.StaticFileHandler):
        def post(self, _):
            self.finish(hashlib.sha256(self.request.body).hexdigest())

    async def main():
        app = tornado.web.Application([("/(.*)", Handler, {"path": str(directory)})])
        app.listen(port, "127.0.0.1")
        await asyncio.Event().wait()
    asyncio.run(main())


{"uvloop": use_uvloop, "tornado": use_tornado}[kind]()

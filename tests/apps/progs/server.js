// server.js PORT DIRECTORY: GET streams a file of the directory, POST streams back what it gets.
'use strict';
const fs = require('fs');
const http = require('http');
const path = require('path');

const [port, directory] = process.argv.slice(2);

http.createServer((request, response) => {
	if (request.method === 'POST') {
		response.writeHead(200, {'Content-Length': request.headers['content-length']});
		request.pipe(response);
		return;
	}
	const file = path.join(directory, request.url);
	response.writeHead(200, {'Content-Length': fs.statSync(file).size});
	fs.createReadStream(file).pipe(response);
}).listen(Number(port), '127.0.0.1');

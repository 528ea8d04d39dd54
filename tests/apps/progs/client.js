// client.js PORT FILE...: GET and POST each file over one kept-alive connection, print one SHA-256 a
// transfer. In the middle of each answer it says "half" and waits for a line.
'use strict';
const crypto = require('crypto');
const fs = require('fs');
const http = require('http');
const path = require('path');
const readline = require('readline');

const [port, ...files] = process.argv.slice(2);
const agent = new http.Agent({keepAlive: true, maxSockets: 1});
const lines = readline.createInterface({input: process.stdin})[Symbol.asyncIterator]();

function ask(options, body) {
	return new Promise((resolve, reject) => {
		const request = http.request(
			{agent, port: Number(port), host: '127.0.0.1', ...options}, resolve);
		request.on('error', reject);
		if (body)
			fs.createReadStream(body).pipe(request);
		else
			request.end();
	});
}

async function digest(response) {
	const hash = crypto.createHash('sha256');
	const half = Number(response.headers['content-length']) / 2;
	let got = 0;
	let waited = false;

	for await (const part of response) {
		hash.update(part);
		got += part.length;
		if (got >= half && !waited) {
			waited = true;
			console.log('half');
			await lines.next();
		}
	}
	return hash.digest('hex');
}

(async () => {
	for (const file of files) {
		const name = '/' + path.basename(file);
		console.log(await digest(await ask({path: name})));
		console.log(await digest(await ask({
			path: '/echo', method: 'POST',
			headers: {'Content-Length': fs.statSync(file).size},
		}, file)));
	}
	process.exit(0);
})();

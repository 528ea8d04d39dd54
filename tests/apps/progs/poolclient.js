// Many at once to pool.js, each answer compared: poolclient.js PORT KIND
'use strict';
const crypto = require('crypto');
const http = require('http');
const http2 = require('http2');
const net = require('net');

const [port, kind] = process.argv.slice(2);
const at = { port: +port, host: '127.0.0.1' };
const agent = new http.Agent({ keepAlive: true, maxSockets: 8 });

function same(stream, sent) {
	const got = [];

	return new Promise((resolve, reject) => {
		stream.on('data', data => got.push(data)).on('error', reject).on('end', () =>
			Buffer.concat(got).equals(sent) ? resolve() : reject(new Error('other bytes')));
	});
}

function post(body) {
	return new Promise((resolve, reject) => {
		http.request({ ...at, agent, method: 'POST' }, response => resolve(same(response, body)))
			.on('error', reject).end(body);
	});
}

function stream(session, body) {
	const request = session.request({ ':method': 'POST' });

	request.end(body);
	return same(request, body);
}

function dialogue(number) {
	const socket = net.connect({ ...at, allowHalfOpen: true });
	const bodies = Array.from({ length: 60 }, (_, i) => crypto.randomBytes(1 + (i * 7919 + number) % 40000));
	const all = same(socket, Buffer.concat(bodies));
	let next = 0, left = 0;

	function step(data) {
		left -= data ? data.length : 0;
		if (left > 0)
			return;
		if (next === bodies.length)
			return socket.end();
		left = bodies[next].length;
		socket.write(bodies[next++]);
	}
	socket.on('connect', () => step()).on('data', step);
	return all;
}

async function main() {
	const session = kind === 'http2' && http2.connect(`http://127.0.0.1:${port}`);

	for (let turn = 0; turn < 8; turn++) {
		await Promise.all(Array.from({ length: 12 }, (_, i) => {
			const body = crypto.randomBytes(1 + i * 20000);

			return session ? stream(session, body) : kind.startsWith('cluster') ? post(body) : dialogue(i);
		}));
	}
	console.log('good');
	process.exit(0);
}

main().catch(error => {
	console.log(error.stack);
	process.exit(1);
});

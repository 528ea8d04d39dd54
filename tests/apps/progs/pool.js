// cluster and child processes: pool.js PORT cluster|cluster-none|handles|http2|worker; poolclient.js talks to it
'use strict';
const cluster = require('cluster');
const http = require('http');
const http2 = require('http2');
const net = require('net');
const worker = require('worker_threads');
const { fork } = require('child_process');

const [port, kind, child] = process.argv.slice(2);
const echo = socket => socket.on('data', data => socket.write(data)).on('end', () => socket.end()).resume();
const listen = server => server.listen(+port, '127.0.0.1');

function answer(request, response) {
	const body = [];

	request.on('data', data => body.push(data)).on('end', () => response.end(Buffer.concat(body)));
}

if (kind.startsWith('cluster')) {
	// The primary accepts and hands on, or the workers accept from the socket they were given.
	cluster.schedulingPolicy = kind === 'cluster' ? cluster.SCHED_RR : cluster.SCHED_NONE;
	if (cluster.isPrimary)
		[1, 2, 3].forEach(() => cluster.fork());
	else
		listen(http.createServer(answer));
} else if (kind === 'handles' && child) {
	process.on('message', (message, socket) => echo(socket));
} else if (kind === 'handles') {
	const children = [0, 1].map(() => fork(__filename, [port, kind, 'child']));
	let next = 0;

	listen(net.createServer({ pauseOnConnect: true, allowHalfOpen: true },
		socket => children[next++ % 2].send('take', socket)));
} else if (kind === 'http2') {
	listen(http2.createServer().on('stream', stream => {
		stream.respond({ ':status': 200 });
		stream.pipe(stream);
	}));
} else if (worker.isMainThread) {
	new worker.Worker(__filename, { argv: process.argv.slice(2) });
} else {
	listen(net.createServer({ allowHalfOpen: true }, echo));
}

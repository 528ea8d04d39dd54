// java Echo server PORT: an NIO echo server, one selector for all connections.
// java Echo client PORT COUNT BYTES: COUNT messages there and back on a blocking channel, then one of
// BYTES, sent by one thread and received by another. Says "ready" after the first and waits for a
// line on standard input, says "ok" at the end.
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.security.MessageDigest;
import java.util.Arrays;
import java.util.Random;

class Echo {
	public static void main(String[] args) throws Exception {
		var address = new InetSocketAddress("127.0.0.1", Integer.parseInt(args[1]));
		if (args[0].equals("server"))
			serve(address);
		else
			talk(address, Integer.parseInt(args[2]), Integer.parseInt(args[3]));
	}

	static void serve(InetSocketAddress address) throws IOException {
		var selector = Selector.open();
		var listener = ServerSocketChannel.open().bind(address);
		listener.configureBlocking(false);
		listener.register(selector, SelectionKey.OP_ACCEPT);
		while (true) {
			selector.select();
			var keys = selector.selectedKeys().iterator();
			while (keys.hasNext()) {
				var key = keys.next();
				keys.remove();
				if (key.isAcceptable()) {
					var channel = listener.accept();
					channel.configureBlocking(false);
					channel.register(selector, SelectionKey.OP_READ,
						ByteBuffer.allocateDirect(65536));
				} else {
					echo(key);
				}
			}
		}
	}

	// Reads while there is room, writes while there is something: both may stop half-way.
	static void echo(SelectionKey key) throws IOException {
		var channel = (SocketChannel) key.channel();
		var buffer = (ByteBuffer) key.attachment();
		if (key.isReadable() && channel.read(buffer) < 0) {
			channel.close();
			return;
		}
		buffer.flip();
		channel.write(buffer);
		buffer.compact();
		key.interestOps((buffer.hasRemaining() ? SelectionKey.OP_READ : 0)
			| (buffer.position() > 0 ? SelectionKey.OP_WRITE : 0));
	}

	static void talk(InetSocketAddress address, int count, int bytes) throws Exception {
		var random = new Random(1);
		var channel = SocketChannel.open(address);
		for (int i = 0; i < count; i++) {
			var message = new byte[1 + random.nextInt(2000)];
			random.nextBytes(message);
			send(channel, message);
			var answer = receive(channel, message.length);
			if (!Arrays.equals(message, answer))
				throw new IOException("message " + i + " differs");
			if (i == count / 2) {
				System.out.println("ready");
				System.in.read();
			}
		}
		var message = new byte[bytes];
		random.nextBytes(message);
		var sender = new Thread(() -> {
			try {
				send(channel, message);
			} catch (IOException e) {
				throw new RuntimeException(e);
			}
		});
		sender.start();
		var answer = receive(channel, bytes);
		sender.join();
		var hash = MessageDigest.getInstance("SHA-256");
		if (!Arrays.equals(hash.digest(message), hash.digest(answer)))
			throw new IOException("the long message differs");
		channel.close();
		System.out.println("ok");
	}

	static void send(SocketChannel channel, byte[] message) throws IOException {
		var buffer = ByteBuffer.wrap(message);
		while (buffer.hasRemaining())
			channel.write(buffer);
	}

	static byte[] receive(SocketChannel channel, int length) throws IOException {
		var buffer = ByteBuffer.allocate(length);
		while (buffer.hasRemaining())
			if (channel.read(buffer) < 0)
				throw new IOException("early end");
		return buffer.array();
	}
}

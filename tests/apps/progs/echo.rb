# An echo server: echo.rb PORT select|fork|thread. As bytes come, or (thread) line by line.
require 'socket'

listener = TCPServer.new('127.0.0.1', ARGV[0].to_i)

def by_select(listener)
  out = {}
  loop do
    readable, writable, = IO.select([listener, *out.keys], out.reject { |_, left| left.empty? }.keys)
    readable.each do |io|
      next out[listener.accept] = ''.b if io == listener

      data = io.read_nonblock(65_536, exception: false)
      if data.nil?
        io.write(out.delete(io))
        io.close
      elsif data != :wait_readable
        out[io] << data
      end
    end
    writable.each do |io|
      next if io.closed?

      n = io.write_nonblock(out[io], exception: false)
      out[io] = out[io].byteslice(n..) if n != :wait_writable
    end
  end
end

case ARGV[1]
when 'select' then by_select(listener)
when 'fork'
  loop do
    io = listener.accept
    Process.detach(fork { IO.copy_stream(io, io); exit! })
    io.close
  end
else
  loop do
    Thread.new(listener.accept) do |io|
      while (line = io.gets) do io.puts(line) end
      io.close
    end
  end
end

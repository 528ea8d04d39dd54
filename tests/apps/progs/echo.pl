# An echo server by select, in its own buffers: echo.pl PORT
use strict;
use warnings;
use IO::Select;
use IO::Socket::INET;

my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $ARGV[0], Listen => 20, ReuseAddr => 1)
	or die;
my $in = IO::Select->new($listener);
my %out; # handle => [handle, what it has not taken yet]

while (1) {
	my $waiting = IO::Select->new(map { $_->[0] } grep { length $_->[1] } values %out);
	my ($readable, $writable) = IO::Select::select($in, $waiting, undef);
	for my $io (@$readable) {
		if ($io == $listener) {
			my $new = $io->accept;
			$new->blocking(0);
			$in->add($new);
			$out{$new} = [$new, ''];
			next;
		}
		my $n = sysread($io, my $data, 65536);
		next if !defined $n;
		$out{$io}[1] .= $data;
		next if $n;
		$io->blocking(1);
		print $io $out{$io}[1];
		delete $out{$io};
		$in->remove($io);
		close $io;
	}
	for my $io (@$writable) {
		next if !$out{$io};
		my $n = syswrite($io, $out{$io}[1]);
		substr($out{$io}[1], 0, $n, '') if $n;
	}
}

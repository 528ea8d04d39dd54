# SPDX-License-Identifier: BSD-2-Clause
"""
The suites: what others wrote, in a table.

quick    run by tests/run, too: seconds, and packages of the group test alone
lane     connections have to be seen in memory, or the comparison means nothing
seconds  for one run in one mode
user     who runs it where we are root
"""
import kinds


class Suite:
    def __init__(self, name, cases, quick=False, lane=True, seconds=300, user=None):
        self.name = name
        self.cases = cases # (place, under, only) -> {case: outcome}
        self.quick = quick
        self.lane = lane
        self.seconds = seconds
        self.user = user


def python(module, resources="cpu,walltime,largefile,subprocess", leave="", **how):
    return Suite(module, kinds.Python(module, resources, leave), **how)


def perl(name, *args, **how):
    return Suite(f"perl_{name}", kinds.Perl(*args), **how)


def postgres(name, cases, **how):
    return Suite(f"postgres_{name}", cases, seconds=600, user="postgres", **how)


ASYNCIO = ("test_sock_lowlevel", "test_streams", "test_server", "test_buffered_proto", "test_events",
           "test_ssl", "test_sendfile", "test_subprocess", "test_unix_events")
TRIO = "/usr/lib/python3/dist-packages/trio/tests"
PIPES = ("test_subprocess",) # and no connections

ALL = [
    python("test_select", quick=True, lane=False),
    python("test_poll", lane=False),
    python("test_epoll", quick=True),
    python("test_selectors", lane=False),
    # VSOCK is of virtual machines: where there is one, nobody answers there.
    python("test_socket", leave="VSOCK", quick=True),
    python("test_socketserver", resources="network", quick=True),
    python("test_asyncore"),
    python("test_asynchat", quick=True),
    *(python(f"test_asyncio.{module}", quick=module in ("test_sendfile", "test_streams"),
             lane=module not in PIPES)
      for module in ASYNCIO),
    # What is left has no connections.
    python("test_asyncio", leave=",".join(ASYNCIO), lane=False, seconds=600),
    python("test_ssl"),
    python("test_httplib"),
    python("test_httpservers", quick=True),
    python("test_ftplib"),
    python("test_smtplib"),
    python("test_poplib"),
    python("test_imaplib"),
    python("test_nntplib"),
    python("test_telnetlib", lane=False),
    python("test_urllib2_localnet", quick=True),
    python("test_wsgiref"),
    python("test_xmlrpc"),
    python("test_docxmlrpc"),
    python("test_logging"),
    python("test_multiprocessing_fork"),
    python("test_multiprocessing_forkserver"),
    python("test_multiprocessing_spawn", seconds=900),
    python("test_multiprocessing_main_handling", lane=False),
    Suite("perl_io", kinds.Perl(
        "perl/dist/IO", "t/cache*.t", "t/io_[dmps]*.t", "t/io_udp.t", "t/io_unix.t", helpers=(
            "perl/t/test.pl", "perl/t/charset_tools.pl"))),
    perl("io_socket_ip", "perl/cpan/IO-Socket-IP", "t/*.t"),
    perl("socket", "perl/cpan/Socket", "t/*.t", lane=False),
    perl("libnet", "perl/cpan/libnet", "t/*.t"),
    perl("http_tiny", "perl/cpan/HTTP-Tiny", "t/*.t", lane=False),
    perl("io_socket_ssl", "libio-socket-ssl-perl", "t/*.t"),
    perl("net_http", "libnet-http-perl", "t/*.t"),
    perl("http_daemon", "libhttp-daemon-perl", "t/*.t"),
    perl("libwww", "libwww-perl", "t/*.t", "t/*/*.t"),
    Suite("glib", kinds.Glib("socket", "socket-service", "socket-listener", "network-address", "pollable",
                             "proxy-test", "network-monitor", "unix-fd")),
    Suite("tcl", kinds.Tcl("socket", "http", "http11", "ioCmd", "event"), seconds=600),
    Suite("redis", kinds.Redis(
        "unit/protocol", "unit/auth", "unit/quit", "unit/pubsub", "unit/networking", "unit/querybuf",
        "unit/limits", "unit/multi", "unit/type/list", "unit/pause"), seconds=900),
    Suite("trio", kinds.pytest(*(f"{TRIO}/test_{name}.py" for name in (
        "socket", "highlevel_socket", "highlevel_open_tcp_stream", "highlevel_open_tcp_listeners", "ssl",
        "highlevel_ssl_helpers", "unix_pipes", "subprocess", "wait_for_object")))),
    Suite("twisted_tcp", kinds.trial("twisted.test.test_tcp", "twisted.internet.test.test_tcp")),
    Suite("ruby_socket", kinds.ruby(*(f"test/socket/test_{name}.rb" for name in (
        "tcp", "nonblock", "basicsocket", "socket", "ancdata", "sockopt", "unix", "udp", "addrinfo")))),
    Suite("haproxy", kinds.Vtc("haproxy/reg-tests", *(f"{group}/*.vtc" for group in (
        "checks", "connection", "peers", "seamless-reload", "server", "stream", "tcp-rules")))),
    postgres("pgbench", kinds.Pgbench()),
    postgres("regress", kinds.Regress("regress/pg_regress", "regress", "parallel_schedule")),
    postgres("isolation", kinds.Regress("isolation/pg_isolation_regress", "isolation",
                                        "isolation_schedule")),
]

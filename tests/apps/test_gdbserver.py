"""gdb and gdbserver, on both ends of a connection: small requests, large answers, and a socket that sends signals."""
import subprocess

import pytest

from harness.hashes import sha256_file

pytestmark = [pytest.mark.modes("auto", "chaos", slow=("plain", "eager")), pytest.mark.deadline(60)]

PROGRAM = """
#include <stdio.h>
static unsigned char big[2000000];
int f(int x) { return x * 3; }
int main(void)
{
	int i, sum = 0;
	for (i = 0; i < (int)sizeof(big); i++)
		big[i] = (unsigned char)(i * 7 + i / 251);
	for (i = 0; i < 50; i++)
		sum += f(i);
	printf("%d\\n", sum);
	return 7;
}
"""


def test_gdbserver(mode, procs, serve, port, tmp_path):
    (tmp_path / "p.c").write_text(PROGRAM)
    procs.run(["gcc", "-g", "-o", tmp_path / "p", tmp_path / "p.c"])
    server = serve(mode.server(["gdbserver", f"127.0.0.1:{port}", tmp_path / "p"]), port, stdout=subprocess.PIPE)
    commands = ["set confirm off", "set max-value-size unlimited", "set sysroot /",
                f"target remote 127.0.0.1:{port}", "break f", "continue", "ignore 1 20", "continue", "print x", "delete", f"dump binary value {tmp_path}/dump big", "continue"]
    out = procs.run(mode.client(["gdb", "-nx", "-batch", *(a for c in commands for a in ("-ex", c)), tmp_path / "p"])).decode()
    assert "$1 = 21" in out and "exited with code 07" in out, out
    assert b"3675" in procs.finish(server, status=None)
    expected = tmp_path / "expected"
    expected.write_bytes(bytes((i * 7 + i // 251) & 255 for i in range(2000000)))
    assert sha256_file(tmp_path / "dump") == sha256_file(expected)

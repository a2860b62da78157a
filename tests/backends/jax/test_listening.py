"""Where the processes of a run listen, whom that lets in, and what becomes of a stranger."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from llminspect.backends.jax.settings import read_address
from llminspect.errors import UsageError
from tests.backends.jax.eight import EIGHT, write_model
from tests.backends.jax.two import ended, two

if TYPE_CHECKING:
    from tests.conftest import Program

LISTENS = "0A"


def listening(group: int) -> set[tuple[str, int]]:
    """Every address and port at which a process of the group listens, as the system counts them."""
    sockets = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.getpgid(int(process.name)) == group:
                sockets |= {os.readlink(file) for file in (process / "fd").iterdir()}
        except OSError:  # Ended meanwhile.
            continue
    found = set()
    for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            place, state, inode = (line.split()[number] for number in (1, 3, 9))
            if state == LISTENS and f"socket:[{inode}]" in sockets:
                address, port = place.split(":")
                words = [
                    bytes.fromhex(address[at : at + 8])[:: -1 if sys.byteorder == "little" else 1]
                    for at in range(0, len(address), 8)
                ]
                found.add((socket.inet_ntop(family, b"".join(words)), int(port, 16)))
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Path = tmp_path_factory.mktemp("eight")
    write_model(made, EIGHT)
    return made


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="the system's list of sockets is Linux's")
def test_they_listen_at_the_address_that_is_named_and_nowhere_else(folder: Path) -> None:
    given = ("generate", "--ids", "3,1,4", "--max-tokens", "900", "--ignore-eos", "--temperature", "0")
    with two("-m", "llminspect", *given, "--model", str(folder), "--engine", "jax") as running:
        command = running[0].args
        assert isinstance(command, list)
        port = int(str(command[command.index("--coordinator") + 1]).rpartition(":")[2])
        found: set[tuple[str, int]] = set()
        while all(process.poll() is None for process in running) and len({place for _, place in found}) < 3:
            found |= {place for process in running for place in listening(process.pid)}
            time.sleep(0.01)
    assert any(place == port for _, place in found)
    assert len(found) == 3  # And what each computes is exchanged at another port each.
    assert {address for address, _ in found} <= {"127.0.0.1", "::ffff:127.0.0.1"}


STRANGER = """
import sys, time
import jax
jax.distributed.initialize(sys.argv[1], num_processes=2, process_id=1, initialization_timeout=60)
print("joined", flush=True)
time.sleep(100)
"""


IMPATIENT = """
import sys
from llminspect.__main__ import run
from llminspect.backends.jax import hosts
hosts.ARRIVAL = 5
sys.exit(run(sys.argv[1:]))
"""


def test_a_stranger_that_joins_before_the_other_process_ends_the_run_in_one_line(folder: Path) -> None:
    """Nothing asks who it is: it has the other's place, so the other is refused, and what it computes is not shown."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    base = [sys.executable, "-c", IMPATIENT, "forward", "--ids", "3,1,4", "--json", "--model", str(folder)]
    base += ["--engine", "jax", "--coordinator", address, "--process"]
    commands = [[*base, "0/2"], [sys.executable, "-c", STRANGER, address], [*base, "1/2"]]
    running: list[subprocess.Popen[str]] = []
    try:
        for number, command in enumerate(commands):
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            running.append(process)
            if number == 1:
                assert process.stdout is not None and process.stdout.readline() == "joined\n"
        for process in (running[0], running[2]):
            ((code, out, err),) = ended([process], 200)
            assert code == 1, (out, err)
            assert err.count("\n") == 1 and "gone" in err and "Traceback" not in err, err
    finally:
        for process in running:
            process.kill()
            process.communicate()


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "[::]", "[::0]", "[::ffff:0.0.0.0]", "0", "0x0", "0.0", "000.0.0.0", "*", "", "[", "::"]
)
def test_every_address_of_a_machine_is_refused(host: str) -> None:
    with pytest.raises(UsageError, match=r"every address|cannot read"):
        read_address(f"{host}:8476")


@pytest.mark.parametrize("host", ["224.0.0.1", "255.255.255.255", "0xffffffff", "[ff02::1]", "[::ffff:239.1.1.1]"])
def test_many_machines_are_refused(host: str) -> None:
    with pytest.raises(UsageError, match="means many machines"):
        read_address(f"{host}:8476")


def test_addresses_are_read() -> None:
    assert read_address("10.0.0.1:8476") == ("10.0.0.1", 8476)
    assert read_address("[::1]:1") == ("::1", 1)
    assert read_address("first.example:65535") == ("first.example", 65535)
    for text in ("h", "h:", "h:0", "h:65536", "h:1:2", "::1:8476", "h 1:2"):
        with pytest.raises(UsageError, match="cannot read"):
            read_address(text)


def test_another_machines_address_and_a_port_in_use_are_said_at_once(called: Program) -> None:
    given = ("forward", "A cat", "--model", "toy", "--engine", "jax", "--process", "0/2", "--coordinator")
    ran = subprocess.run(
        [sys.executable, "-m", "llminspect", *given, "192.0.2.1:8476"], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 1 and re.fullmatch(
        r"llminspect: .* is not this machine's \(start --process 0 .*\)\n", ran.stderr
    )
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "llminspect", *given, f"127.0.0.1:{port}"]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 1 and re.fullmatch(
        r"llminspect: .* is in use \(process 0 listens there; .*\)\n", ran.stderr
    )

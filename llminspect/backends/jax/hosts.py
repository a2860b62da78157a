"""Several processes as one: each joins the others before it touches a device, and none outlives them silently.

JAX ends a process whose partner is gone by aborting it, in the middle of foreign code, with pages of its own. So the
work is done in a child, and this process watches it: however the child goes, it ends with one line and an exit code.
"""

from __future__ import annotations

import ctypes
import errno
import math
import os
import select
import signal
import sys
import time
from contextlib import suppress
from functools import partial
from typing import NoReturn, TextIO

from llminspect.backends.jax.settings import EngineSettings, check_one_address, read_address
from llminspect.errors import UsageError, UserError

LOST = 77
"""Exit code of a child that found a partner gone and said nothing."""
HEARTBEAT = 10
"""Seconds without a sign of life after which a partner counts as gone."""
ARRIVAL = 60
"""Seconds that the processes wait for one another at the start."""
GOODBYE = 2 * HEARTBEAT
"""Seconds that a child has to take leave of the others, once it has written everything."""
_DIES_WITH_PARENT = 1  # PR_SET_PDEATHSIG of Linux.
AUTO = "auto"
BIND = "JAX_COORDINATOR_BIND_ADDRESS"
"""JAX's own variable: where process 0 listens, for who means another address than the others call, or every one."""
_VERDICT: int | None = None
"""In a child: where it says the exit code that it comes to."""


def join(settings: EngineSettings) -> int:
    """Become one of several processes: this one's number. Must come before anything that starts JAX.

    Returns in a child; the process that called waits for it and ends as it ends. Raises (in the one that waits)
    UserError where a process is gone.
    """
    if not hasattr(os, "fork"):
        raise UserError("several processes need Linux or macOS", "leave out --coordinator")
    _watched_child(settings)
    return _initialize(settings)


def _watched_child(settings: EngineSettings) -> None:
    """Go on in a child whose foreign noise is held back; the parent never returns."""
    global _VERDICT
    noise, noise_in = os.pipe()
    verdict, _VERDICT = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child:
        os.close(noise_in)
        os.close(_VERDICT)
        _VERDICT = None
        _wait(child, noise, verdict, settings)
    os.close(noise)
    os.close(verdict)
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(_DIES_WITH_PARENT, signal.SIGKILL)
    sys.stdout, sys.stderr = _moved(sys.stdout, 1, noise_in), _moved(sys.stderr, 2, noise_in)
    os.close(noise_in)


def _moved(stream: TextIO, descriptor: int, noise: int) -> TextIO:
    """The same stream on another descriptor; what foreign code writes to the old one goes to `noise`."""
    moved = os.dup(descriptor)
    os.dup2(noise, descriptor)
    return os.fdopen(moved, "w", buffering=1, encoding=stream.encoding, errors=stream.errors)


def conclude(code: int) -> None:
    """All is written and this is the exit code: JAX's goodbye to the others, which may be gone, changes it no more."""
    if _VERDICT is not None:
        sys.stdout.flush()
        os.write(_VERDICT, bytes([code]))


def _wait(child: int, noise: int, verdict: int, settings: EngineSettings) -> NoReturn:
    """End as the child ends. Raises UserError where it did not end by itself."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The child says that it was interrupted.
    concluded, until, watched = b"", math.inf, [noise, verdict]
    while noise in watched:
        left = None if until == math.inf else max(0.0, until - time.monotonic())
        ready, _, _ = select.select(watched, [], [], left)
        if not ready:
            os.kill(child, signal.SIGKILL)
            until = math.inf
        if verdict in ready:
            watched.remove(verdict)
            concluded = os.read(verdict, 1)
            until = time.monotonic() + GOODBYE if concluded else math.inf
        if noise in ready and not os.read(noise, 1 << 16):
            watched.remove(noise)
    _, status = os.waitpid(child, 0)
    code = concluded[0] if concluded else os.waitstatus_to_exitcode(status)
    if concluded or (code >= 0 and code != LOST):
        raise SystemExit(code)
    who = "" if settings.process is None else f" (this is process {settings.process[0]} of {settings.process[1]})"
    if code == -signal.SIGKILL:
        raise UserError(
            f"this process was killed, perhaps for lack of memory{who}", "take more devices or --dtype bfloat16"
        )
    raise UserError(f"another process of this run, or the network to it, is gone{who}", "start all processes again")


def _initialize(settings: EngineSettings) -> int:
    import jax

    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    automatic = settings.coordinator == AUTO
    number, count = settings.process or (None, None)
    bind = None
    if not automatic:
        place, bind = _places(settings)
        _exchange_there(place)
    try:
        jax.distributed.initialize(
            coordinator_address=None if automatic else settings.coordinator,
            num_processes=count,
            process_id=number,
            initialization_timeout=ARRIVAL,
            heartbeat_timeout_seconds=HEARTBEAT,
            shutdown_timeout_seconds=HEARTBEAT,
            coordinator_bind_address=bind,
        )
    except ValueError as error:
        if automatic:
            raise UsageError(
                "JAX recognises no cluster here", "give --coordinator HOST:PORT --process I/N to each process"
            ) from error
        raise
    except RuntimeError:
        lost()
    return int(jax.process_index())


def _places(settings: EngineSettings) -> tuple[str, str | None]:
    """This machine's address on the way to process 0, and, for process 0, where it listens for the others: JAX itself
    would listen on every address of the machine, and asks nobody who they are. Raises UserError."""
    import socket

    assert settings.coordinator is not None
    host, port = read_address(settings.coordinator)
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise UserError(
            f"--coordinator: {host!r} is no address and no known name", "give process 0's address"
        ) from error
    check_one_address(host, str(address[0]))
    if settings.process is None or settings.process[0] != 0:
        with socket.socket(family, socket.SOCK_DGRAM) as way, suppress(OSError):
            way.connect(address)  # Sends nothing: the system only chooses the way.
            return str(way.getsockname()[0]), None
        lost()
    if chosen := os.environ.get(BIND):
        return str(address[0]), chosen
    with socket.socket(family) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(address)
        except OSError as error:
            what = "is in use" if error.errno == errno.EADDRINUSE else "is not this machine's"
            hint = "process 0 listens there; take another port" if "use" in what else "start --process 0 where it is"
            raise UserError(f"--coordinator {settings.coordinator}: that address {what}", hint) from error
    name = f"[{address[0]}]" if ":" in str(address[0]) else address[0]
    return str(address[0]), f"{name}:{port}"


def _exchange_there(address: str) -> None:
    """Between processors what is computed is exchanged at this address, and not at whatever the machine's name means.

    JAX has no setting for that; its own call of the library below has. Raises UserError where it has no more.
    """
    from jax._src import xla_bridge

    library = getattr(xla_bridge, "_jax", None)
    made = getattr(library, "make_gloo_tcp_collectives", None)
    if made is None:
        raise UserError("this version of JAX gives no way to choose where it listens", "take jax 0.10, or one process")
    library.make_gloo_tcp_collectives = partial(made, hostname=address)  # type: ignore[union-attr]


def lost() -> NoReturn:
    """A partner is gone: end at once, without the goodbye that JAX would wait for. The parent says so."""
    os._exit(LOST)

"""What the clients of the block store share: servers of their own, contents, curl, running checks.

Each check starts a server of its own on a port the kernel chooses, with a store in a directory of its own, and
ends both. Waiting is for events only; TIME_MAX turns a hang into a failure.
"""

import argparse
import contextlib
import hashlib
import os
import random
import signal
import subprocess
import tempfile
import traceback

TIME_MAX = 20
READY = "listening on "
BLOCK_SIZE_MAX = 512 * 1024
SIZES = [1, 4095, 4096, 4097, 65536, 100_000, BLOCK_SIZE_MAX]


class Server:
    """One `hioload` process, with a store of its own where it has one."""

    def __init__(self, binary, driver, data):
        self.binary = binary
        self.driver = driver
        self.data = data
        self.process = None
        self.url = None

    @contextlib.contextmanager
    def run(self, *flags, command="serve", scheme="http", **settings):
        arguments = [command, "--addr", "127.0.0.1:0", "--admin", "off", *flags]
        arguments += ["--data", self.data] if command == "serve" else []
        if self.driver:
            arguments += ["--driver", self.driver]
        self.process = subprocess.Popen(
            [self.binary, *arguments],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "HIOLOAD_LOG_LEVEL": "error", **settings},
        )
        try:
            for line in self.process.stdout:
                if line.startswith(READY):
                    self.url = f"{scheme}://" + line.removeprefix(READY).strip()
                    break
            assert self.url, f"hioload {command} ended before it listened"
            yield self
        finally:
            if self.process.poll() is None:
                self.process.kill()
            self.process.wait()
            self.process.stdout.close()
            self.url = None

    @property
    def addr(self):
        return self.url.split("//")[1]

    def signal(self):
        """Asks it to end in order."""
        self.process.send_signal(signal.SIGTERM)

    def stop(self):
        """Ends it in order."""
        self.signal()
        assert self.process.wait(TIME_MAX) == 0


def name_of(content):
    return hashlib.sha256(content).hexdigest()


def content(seed, size):
    return random.Random(seed).randbytes(size)


def curl(*arguments, stdin=None):
    """Runs curl, which must succeed, and gives what it wrote."""
    command = ["curl", "--silent", "--show-error", "--max-time", str(TIME_MAX), *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=2 * TIME_MAX)
    assert done.returncode == 0, f"curl {arguments}: {done.returncode} {done.stderr.decode()}"
    return done.stdout

def run(arguments, checks):
    passes, failures = 0, 0
    for function in checks:
        if arguments.only and arguments.only not in function.__name__:
            continue
        name = function.__name__.replace("_", " ")
        try:
            with tempfile.TemporaryDirectory() as data:
                function(Server(arguments.hioload, arguments.driver, data))
        except Exception:
            failures += 1
            print(f"FAILED {name}", flush=True)
            traceback.print_exc()
        else:
            passes += 1
            print(f"ok     {name}", flush=True)
    print(f"{passes} passed, {failures} failed (driver {arguments.driver})")
    # Nothing selected is no success.
    return 0 if passes and not failures else 1


def main(checks):
    parser = argparse.ArgumentParser()
    parser.add_argument("--hioload", required=True)
    parser.add_argument("--driver")
    parser.add_argument("--only")
    return run(parser.parse_args(), checks)

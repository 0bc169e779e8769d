"""Kills this process where the environment says: every Python process of a run imports it, none of the program does.

MTL_KILL is `module:function:before|after:count[:program]`: at the count-th call of a function (or Class.method) of a module,
in a process whose program's path has that in it. MTL_KILL_MARK is a file that the first one to get there creates: it
alone is killed.
"""

import importlib.abc
import importlib.machinery
import os
import signal
import sys

SPEC = os.environ.get("MTL_KILL", "")


def kill_here(program):
    if program and program not in sys.argv[0]:
        return
    try:
        os.close(os.open(os.environ["MTL_KILL_MARK"], os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    os.kill(os.getpid(), getattr(signal, os.environ.get("MTL_KILL_SIGNAL", "SIGKILL")))


def wrapped(function, when, count, program):
    calls = [0]

    def call(*args, **kwargs):
        calls[0] += 1
        if when == "before" and calls[0] == count:
            kill_here(program)
        result = function(*args, **kwargs)
        if when == "after" and calls[0] == count:
            kill_here(program)
        return result

    call.__name__ = getattr(function, "__name__", "call")
    call.__wrapped__ = function  # type: ignore[attr-defined]
    return call


class Patcher(importlib.abc.MetaPathFinder):
    """Wraps the function once its module is loaded."""

    def __init__(self, module, function, when, count, program=""):
        self.module, self.function, self.when, self.count, self.program = module, function, when, int(count), program

    def find_spec(self, name, path, target=None):
        if name != self.module:
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        assert spec is not None
        assert spec.loader is not None
        original = spec.loader.exec_module

        def exec_module(module):
            original(module)
            holder = module
            *outer, last = self.function.split(".")
            for part in outer:
                holder = getattr(holder, part)
            setattr(holder, last, wrapped(getattr(holder, last), self.when, self.count, self.program))

        spec.loader.exec_module = exec_module
        return spec


if SPEC:
    sys.meta_path.insert(0, Patcher(*SPEC.split(":")))

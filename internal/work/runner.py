# Runs one unit of a work type of Python, for receptor. Its only argument is the directory of the unit:
#
#   python   read: {"plugin": P, "function": F, "config": C}
#   stdin    the payload, which is our standard input, too
#   outcome  written at the end: one line for people
#
# What the function puts into its queue goes to standard output, one line of JSON an item. What it prints goes to standard error.
import sys

sys.path[:] = [p for p in sys.path if p]  # never modules from where the daemon happens to be

import importlib, importlib.util, json, os, queue, signal, stat, threading, traceback

unit = sys.argv[1]
DONE = object()


def say(outcome):
    try:
        beside = os.path.join(unit, ".outcome")
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8", errors="backslashreplace") as f:
            f.write(outcome[:1000])
        os.replace(beside, os.path.join(unit, "outcome"))
    except OSError:
        traceback.print_exc()  # the exit code tells the rest


def fail(what, e):
    traceback.print_exception(type(e), e, e.__traceback__)
    say("%s: %r" % (what, e))
    sys.exit(1)


def find(plugin, function):
    from importlib import metadata

    found = metadata.entry_points()
    group = found.select(group="receptor.worker") if hasattr(found, "select") else found.get("receptor.worker", ())
    module = next((e.load() for e in group if e.name == plugin), None)
    if module is None:
        if importlib.util.find_spec(plugin.partition(".")[0]) is None:
            raise ValueError("Plugin %s not found" % plugin)
        module = importlib.import_module(plugin)
    f = getattr(module, function, None)
    if f is None:
        raise ValueError("Function %s does not exist in %s" % (function, plugin))
    if not getattr(f, "receptor_export", False):
        raise ValueError("Not allowed to call non-exported %s in %s" % (function, plugin))
    kind = getattr(f, "payload_type", "bytes")
    if kind not in ("bytes", "buffer", "file"):
        raise ValueError("Unknown payload type %s of %s in %s" % (kind, function, plugin))
    return f, kind


def payload(kind):
    if kind == "buffer":
        return sys.stdin.buffer
    if kind == "bytes":
        return sys.stdin.buffer.read()
    if stat.S_ISFIFO(os.fstat(0).st_mode):  # it still comes, and the file grows
        while os.read(0, 1 << 16):
            pass
    return os.path.join(unit, "stdin")


def write(items, output, trouble):
    while True:
        item = items.get()
        if item is DONE:
            return
        if trouble:
            continue  # who puts never waits
        try:
            line = memoryview(json.dumps(item).encode() + b"\n")
            while line:
                line = line[os.write(output, line):]
        except BaseException as e:
            trouble.append(e)


def main():
    stopped = []

    def stop(number, _):
        stopped.append(number)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    output = os.dup(1)
    os.dup2(2, 1)
    items, trouble, error = queue.Queue(), [], None
    writer = threading.Thread(target=write, args=(items, output, trouble), daemon=True)
    writer.start()
    what = "Error loading worker"
    try:
        with open(os.path.join(unit, "python"), encoding="utf-8") as f:
            job = json.load(f)
        f, kind = find(job["plugin"], job["function"])
        what = "Error running worker"
        f(payload(kind), job["config"], items)
        for t in threading.enumerate():  # what the function has left behind may still put
            if t is not threading.current_thread() and t is not writer and not t.daemon:
                t.join()
    except BaseException as e:
        error = e
    items.put(DONE)
    while True:
        try:
            writer.join()
            break
        except KeyboardInterrupt:
            pass
    sys.stdout.flush()
    if stopped:
        say("Killed by signal %d" % stopped[0])
        signal.signal(stopped[0], signal.SIG_DFL)
        os.kill(os.getpid(), stopped[0])
    if isinstance(error, SystemExit) and error.code in (None, 0):
        error = None
    error = error or (trouble[0] if trouble else None)
    if error is not None:
        fail(what, error)
    say("Complete")


main()

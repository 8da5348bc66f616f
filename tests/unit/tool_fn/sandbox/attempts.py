"""Ways out of the sandbox, and ways to wear out what is around it, that have been tried elsewhere.

Each is a program that calls `win()` when it has got what it came for. CANARY, FOLDER, PORT, PARENT and SECRET stand for
a file, its folder, a port that somebody listens at, the process that would love to be left alone, and the name of an
environment variable.
"""

from dataclasses import dataclass

PRELUDE = """
import sys, os
def win(*what): print("ESC" + "APED", *what)
def builtin(name):
    import importlib._bootstrap
    return importlib._bootstrap._builtin_from_name(name)
"""

FILES = {
    "read a file": "win(open('CANARY').read())",
    "read a file as bytes": "win(open('CANARY', 'rb').read())",
    "read relative to here": "win(open('../../../../../../..CANARY').read())",
    "write a file": "win(open('FOLDER/new', 'w').write('x'))",
    "append to a file": "win(open('CANARY', 'a').write('x'))",
    "io.FileIO": "import io; win(io.FileIO('CANARY').readall())",
    "io.open_code": "import io; win(io.open_code('CANARY').read())",
    "codecs.open": "import codecs; win(codecs.open('CANARY').read())",
    "os.open": "win(os.read(os.open('CANARY', os.O_RDONLY), 99))",
    "os.open to create": "win(os.open('FOLDER/new', os.O_CREAT | os.O_WRONLY))",
    "posix.open": "win(sys.modules['posix'].open('CANARY', 0))",
    "pathlib": "import pathlib; win(pathlib.Path('CANARY').read_text())",
    "an own opener": "win(open('x', opener=lambda *_: os.open('CANARY', 0)).read())",
    "every descriptor": """
for number in range(64):
    try: win(number, os.read(number, 10))
    except OSError: pass
""",
    "write to every descriptor above the standard ones": """
for number in range(3, 64):
    try: win(number, os.write(number, b'x' * 64))
    except OSError: pass
""",
    "close every descriptor": """
for number in range(64):
    try: os.close(number)
    except OSError: pass
print(6 * 7)
""",
    "read standard input": "data = os.read(0, 10); data and win(data)",
    "os.fdopen": "win(os.fdopen(3).read())",
    "list a folder": "win(os.listdir('FOLDER'))",
    "list the root": "win(os.listdir('/'))",
    "scan a folder": "win([entry.name for entry in os.scandir('/')])",
    "walk everything": "found = [f for _, d, f in os.walk('/')]; found and win(found)",
    "stat": "win(os.stat('CANARY').st_size)",
    "exists": "os.path.exists('CANARY') and win()",
    "remove": "win(os.unlink('CANARY'))",
    "rename": "win(os.rename('CANARY', 'FOLDER/new'))",
    "symbolic link": "win(os.symlink('CANARY', '/link'))",
    "hard link": "win(os.link('CANARY', 'FOLDER/new'))",
    "make a folder": "win(os.mkdir('FOLDER/new'))",
    "truncate": "win(os.truncate('CANARY', 0))",
    "change its times": "win(os.utime('CANARY'))",
    "change directory": "os.chdir('FOLDER'); win(open('canary').read())",
    "shutil.copy": "import shutil; win(shutil.copy('CANARY', 'FOLDER/new'))",
    "the process's environment": "win(open('/proc/self/environ').read())",
    "another process's environment": "win(open('/proc/PARENT/environ').read())",
    "the process's memory": "win(open('/proc/self/mem', 'r+b'))",
    "the process's descriptors": "win(os.listdir('/proc/self/fd'))",
    "a descriptor by its path": "win(open('/dev/fd/3').read())",
    "the accounts": "win(open('/etc/passwd').read())",
    "the memory device": "win(open('/dev/mem', 'rb').read(1))",
    "sqlite opens a file": "import sqlite3; win(sqlite3.connect('FOLDER/new').execute('create table t (a)'))",
    "sqlite attaches a file": "import sqlite3; win(sqlite3.connect(':memory:').execute(\"attach 'FOLDER/new' as x\"))",
    "sqlite vacuums into a file": """
import sqlite3
win(sqlite3.connect(':memory:').execute("vacuum into 'FOLDER/new'"))
""",
    "sqlite loads an extension": """
import sqlite3
db = sqlite3.connect(':memory:')
db.enable_load_extension(True)
win(db.load_extension('FOLDER/x.so'))
""",
    "an external entity": """
import xml.etree.ElementTree as tree
text = '<!DOCTYPE a [<!ENTITY b SYSTEM "file://CANARY">]><a>&b;</a>'
win(tree.fromstring(text).text)
""",
    "a log file": "import logging; logging.FileHandler('FOLDER/new'); win()",
    "linecache": "import linecache; lines = linecache.getlines('CANARY'); lines and win(lines)",
    "tokenize.open": "import tokenize; win(tokenize.open('CANARY').read())",
    "configparser": "import configparser; found = configparser.ConfigParser().read('CANARY'); found and win(found)",
    "a source loader": """
import importlib._bootstrap_external as external
win(external.SourceFileLoader('x', 'CANARY').get_data('CANARY'))
""",
    "the path finder again": """
import importlib.machinery
sys.meta_path.append(importlib.machinery.PathFinder)
sys.path_hooks.append(importlib.machinery.FileFinder.path_hook((importlib.machinery.SourceFileLoader, ['.py'])))
sys.path.append('FOLDER')
import evil
win()
""",
    "a zip importer": "import zipimport; win(zipimport.zipimporter('FOLDER/evil.zip'))",
    "a pipe": "win(os.pipe())",
}

NETWORK = {
    "import socket": "import socket; win(socket.create_connection(('127.0.0.1', PORT)))",
    "the socket module from below": "s = builtin('_socket').socket(); s.connect(('127.0.0.1', PORT)); win()",
    "a datagram from below": "builtin('_socket').socket(2, 2).sendto(b'x', ('127.0.0.1', PORT)); win()",
    "a socket out of a descriptor": "win(builtin('_socket').socket(fileno=3).recv(1))",
    "names": "win(builtin('_socket').getaddrinfo('localhost', 80))",
    "the host's name": "name = builtin('_socket').gethostname(); name == '(none)' or win(name)",
    "urllib": "import urllib.request; win(urllib.request.urlopen('http://127.0.0.1:PORT'))",
    "http.client": "import http.client; win(http.client.HTTPConnection('127.0.0.1', PORT).connect())",
    "asyncio": "import asyncio; win(asyncio.run(asyncio.open_connection('127.0.0.1', PORT)))",
    "ssl": "import ssl; win(ssl.create_default_context())",
    "smtplib": "import smtplib; win(smtplib.SMTP('127.0.0.1', PORT))",
    "multiprocessing's connections": "from multiprocessing.connection import Client; win(Client(('127.0.0.1', PORT)))",
    "a path that bash would connect": "win(open('/dev/tcp/127.0.0.1/PORT'))",
    "requests": "import requests; win(requests.get('http://127.0.0.1:PORT'))",
}

PROCESSES = {
    "os.system": "win(os.system('touch FOLDER/new'))",
    "os.popen": "win(os.popen('cat CANARY').read())",
    "os.fork": "win(os.fork())",
    "os.execv": "os.execv('/bin/sh', ['sh', '-c', 'touch FOLDER/new']); win()",
    "os.posix_spawn": "win(os.posix_spawn('/bin/sh', ['sh'], {}))",
    "os.spawnl": "win(os.spawnl(os.P_WAIT, '/bin/sh', 'sh'))",
    "subprocess": "import subprocess; win(subprocess.run(['touch', 'FOLDER/new']))",
    "fork_exec from below": "win(builtin('_posixsubprocess').fork_exec)",
    "multiprocessing": "import multiprocessing; multiprocessing.Process(target=print).start(); win()",
    "pty": "import pty; win(pty.spawn('/bin/sh'))",
    "a thread": "import threading; threading.Thread(target=win).start()",
    "a thread from below": "sys.modules['_thread'].start_new_thread(win, ())",
    "a pool of threads": "from concurrent.futures import ThreadPoolExecutor; ThreadPoolExecutor().submit(win)",
    "a timer": "import threading; threading.Timer(0, win).start()",
    "kill the parent": "os.kill(PARENT, 9); win()",
    "kill everybody": "os.kill(-1, 9); win()",
    "killpg": "os.killpg(0, 9); win()",
    "raise a signal": "builtin('_signal').raise_signal(9); win()",
    "an alarm": "builtin('_signal').alarm(1); win()",
    "an interval timer": "builtin('_signal').setitimer(0, 0.01); win()",
    "a handler of signals": "builtin('_signal').signal(15, 1); print(6 * 7)",
    "abort": "os.abort(); win()",
    "leave": "os._exit(0); win()",
    "leave politely": "sys.exit(0); win()",
    "provoke a fault": "builtin('faulthandler')._sigsegv(); win()",
    "provoke a stack overflow": "builtin('faulthandler')._stack_overflow(); win()",
    "dump the traceback to a descriptor": "builtin('faulthandler').dump_traceback(4); print(6 * 7)",
    "nice": "win(os.nice(-20))",
    "become somebody else": "os.setuid(0); win()",
}

INSIDE = {
    "ctypes": "import ctypes; win(ctypes.CDLL(None).getpid())",
    "ctypes from below": "win(builtin('_ctypes'))",
    "cffi": "import cffi; win()",
    "mmap": "import mmap; win(mmap.mmap(-1, 4096))",
    "load a library": """
import importlib.machinery, importlib.util
loader = importlib.machinery.ExtensionFileLoader('x', 'FOLDER/x.so')
win(loader.create_module(importlib.machinery.ModuleSpec('x', loader)))
""",
    "the environment": "'SECRET' in os.environ and win(os.environ['SECRET'])",
    "the environment as bytes": "dict(os.environ) and win(os.environ)",
    "the environment from below": "sys.modules['posix'].environ and win(sys.modules['posix'].environ)",
    "getenv": "os.getenv('SECRET') and win(os.getenv('SECRET'))",
    "the environment that is put": "os.environ['SECRET'] = 'x'; print(6 * 7)",
    "the arguments": "print(sys.argv, sys.orig_argv, sys.executable)",
    "the user": "import pwd; win(pwd.getpwuid(0))",
    "the login": "win(os.getlogin())",
    "subclasses that open or start": """
for kind in object.__subclasses__() + [k for c in object.__subclasses__() for k in type.__subclasses__(c)]:
    if kind.__name__ == 'Popen': win(kind(['touch', 'FOLDER/new']))
    if kind.__name__ == 'FileLoader': win(kind('x', 'CANARY').get_data('CANARY'))
    if kind.__name__ == 'FileIO': win(kind('CANARY').readall())
    if kind.__name__ == 'socket': win(kind().connect(('127.0.0.1', PORT)))
""",
    "builtins by a class": """
b = ().__class__.__base__.__subclasses__()[0].__init__.__globals__ if False else None
warn = [k for k in object.__subclasses__() if k.__name__ == 'catch_warnings'][0]
win(warn.__init__.__globals__['sys'].modules['os'].system('touch FOLDER/new'))
""",
    "frames": """
frame = sys._getframe()
while frame.f_back: frame = frame.f_back
print(sorted(frame.f_globals)[:3])
frame.f_globals['os'].system('touch FOLDER/new')
win()
""",
    "everything that the collector knows": """
import gc
for thing in gc.get_objects():
    if type(thing).__name__ == 'builtin_function_or_method' and thing.__name__ in ('fork', 'system', 'execv'):
        win(thing)
print(len(gc.get_objects()))
""",
    "everything that the collector knows, by name": """
import gc
for thing in gc.get_referrers(sys.modules):
    if isinstance(thing, dict) and 'SECRET' in thing: win(thing['SECRET'])
""",
    "modules that are put back": "sys.modules.pop('os'); import os as again; win(again.system('x'))",
    "the finder that is taken away": "sys.meta_path.clear(); import socket; win()",
    "reload": "import importlib, json; importlib.reload(json); win()",
    "a module out of nothing": """
import types
sys.modules['socket'] = types.ModuleType('socket')
import socket
win(socket.socket())
""",
    "pickle": """
import pickle
class Gadget:
    def __reduce__(self): return os.system, ('touch FOLDER/new',)
win(pickle.loads(pickle.dumps(Gadget())))
""",
    "pickle by hand": "import pickle; win(pickle.loads(b\"cposix\\nsystem\\n(S'touch FOLDER/new'\\ntR.\"))",
    "pickle of eval": 'import pickle; pickle.loads(b"cbuiltins\\neval\\n(S\'__import__(\\"socket\\")\'\\ntR."); win()',
    "marshal": "import marshal; marshal.loads(bytes(range(256)) * 9); print(6 * 7)",
    "marshal makes code": """
import marshal, types
code = marshal.loads(marshal.dumps(compile("open('CANARY').read()", 'x', 'eval')))
win(eval(code))
""",
    "bytecode that is none": """
def f(): pass
f.__code__ = f.__code__.replace(co_code=bytes([255, 255] * 64), co_stacksize=0)
f()
win()
""",
    "bytecode out of bounds": """
def f(): return 1
code = f.__code__
f.__code__ = code.replace(co_code=bytes(b | 0x40 for b in code.co_code), co_consts=(), co_names=())
win(f())
""",
    "the function that prints": "import wit_world; print(wit_world.print('x' * 100000))",
    "the function that prints, often": """
import wit_world
while True: wit_world.print('x' * 100000)
""",
    "the function that prints, with nonsense": "import wit_world; wit_world.print(None); win()",
    "the function that prints, with all memory": "import wit_world; wit_world.print('x' * (90 << 20)); print(6 * 7)",
    "the function that sleeps": "import wit_world; wit_world.sleep(1e9); win()",
    "the function that sleeps, backwards": "import wit_world; wit_world.sleep(-1e9); win()",
    "the function that sleeps, for no number": "import wit_world; wit_world.sleep(float('nan')); win()",
    "functions of the runtime": """
import componentize_py_runtime as runtime
for number in range(200):
    for name in dir(runtime):
        if not name.startswith('_'):
            try: getattr(runtime, name)(number)
            except Exception: pass
print(6 * 7)
""",
    "an import of the runtime": "import componentize_py_runtime as r; r.call_import(0, [], 99); win()",
    "a forged answer": "import interpreter; interpreter._dumps = lambda *_: '{\"value\": 1}'; print(6 * 7)",
    "an answer that is none": "import interpreter; interpreter._dumps = lambda *_: 'null'; print(6 * 7)",
    "an answer that is no text": "import interpreter; interpreter._dumps = lambda *_: 7; print(6 * 7)",
    "an answer of all memory": "import interpreter; interpreter._dumps = lambda *_: 'x' * (60 << 20); print(6 * 7)",
    "an answer that is deep": "import interpreter; interpreter._dumps = lambda *_: '[' * 1000000; print(6 * 7)",
    "an interpreter with other functions": """
import interpreter
interpreter.WitWorld.run = lambda *_: win()
interpreter._cut = interpreter._explain = None
raise ValueError
""",
    "the builtins are gone": "import builtins; vars(builtins).clear(); 1 / 0",
    "modules are gone": "sys.modules.clear(); 1 / 0",
    "randomness without end": "os.urandom(50 << 20); print(6 * 7)",
}

ALLOCATIONS = {
    "a list": "x = [0] * (1 << 29)",
    "bytes": "x = bytes(1 << 30)",
    "a text": "x = 'x' * (1 << 30)",
    "a list that grows": "x = []\nwhile True: x.append(bytes(1 << 16))",
    "a text that doubles": "x = 'x'\nwhile True: x += x",
    "a dictionary that grows": "x = {}\nwhile True: x[len(x)] = bytes(1 << 14)",
    "a set of large numbers": "x = {1 << n * 1000 for n in range(1 << 16)}",
    "one large number": "x = 1 << (1 << 33)",
    "a range as a list": "x = list(range(1 << 40))",
    "all of endless": "import itertools; x = list(itertools.repeat(0))",
    "a deque": "import collections; x = collections.deque(iter(int, 1))",
    "an array": "import array; x = array.array('d', bytes(1 << 30))",
    "a format's width": "x = f'{1:>{1 << 30}}'",
    "an old format's width": "x = '%*d' % (1 << 30, 1)",
    "decimal digits": "import decimal; decimal.getcontext().prec = 1 << 30; x = decimal.Decimal(1) / 3",
    "a bomb that is unpacked": """
import zlib
packed = zlib.compress(bytes(50 << 20))
x = [zlib.decompress(packed) for _ in range(100)]
""",
    "sqlite's blob": """
import sqlite3
x = sqlite3.connect(':memory:').execute('select zeroblob(1000000000)').fetchall()
""",
    "a pattern of repetitions": "import re; x = re.compile('(a{1,50000}){1,50000}')",
    "entities of entities": """
import xml.etree.ElementTree as tree
names = ''.join(f'<!ENTITY e{n + 1} "{"&e%d;" % n * 20}">' for n in range(9))
x = tree.fromstring(f'<!DOCTYPE a [<!ENTITY e0 "lol">{names}]><a>&e9;</a>')
""",
    "products": "import itertools; x = list(itertools.product(range(100), repeat=9))",
    "memory errors are caught": """
x = []
while True:
    try: x.append(bytes(1 << 20))
    except MemoryError: pass
""",
    "caught and tried for a byte less": """
x, size = [], 1 << 26
while size:
    try: x.append(bytes(size))
    except MemoryError: size >>= 1
""",
    "classes without end": "x = []\nwhile True: x.append(type('C', (), {'x': bytes(1 << 14)}))",
}

LOOPS = {
    "a loop": "while True: pass",
    "a loop in C": "import itertools; sum(itertools.repeat(1))",
    "a loop in C over nothing": "import collections; collections.deque(iter(int, 1), maxlen=0)",
    "a search that never ends": "1 in iter(int, 2)",
    "everything is caught": """
while True:
    try:
        while True: pass
    except BaseException: pass
""",
    "finally a loop": """
try: 1 / 0
finally:
    while True: pass
""",
    "a pattern that backtracks": "import re; re.match(r'(a+)+$', 'a' * 60 + 'b')",
    "a pattern that backtracks more": "import re; re.match(r'(.*)*x', 'y' * 40)",
    "a large power": "9 ** 9 ** 9",
    "a power with a modulus": "pow(3, 1 << 1000000, (1 << 100000) + 1)",
    "a large factorial": "import math; math.factorial(10 ** 8)",
    "a large number as text": "sys.set_int_max_str_digits(0); str(1 << 10 ** 8)",
    "a large text as number": "sys.set_int_max_str_digits(0); int('9' * 10 ** 7)",
    "a hash of much": "import hashlib\nwhile True: hashlib.sha256(bytes(50 << 20))",
    "sqlite counts": """
import sqlite3
query = 'with recursive c(n) as (select 1 union all select n + 1 from c) select max(n) from c'
sqlite3.connect(':memory:').execute(query).fetchall()
""",
    "a sort that compares": """
class Slow:
    def __lt__(self, other):
        while True: pass
sorted([Slow(), Slow()])
""",
    "the value's repr": """
class Endless:
    def __repr__(self):
        while True: pass
Endless()
""",
    "the error's text": """
class Endless(Exception):
    def __str__(self):
        while True: pass
raise Endless
""",
    "an end that does not end": """
class Endless:
    def __del__(self):
        while True: pass
x = Endless()
""",
    "atexit": "builtin('atexit').register(lambda: [0 for _ in iter(int, 1)])",
    "a trace function": """
def trace(*_):
    while True: pass
sys.settrace(trace)
def f(): pass
f()
""",
    "the difference of texts": "import difflib; difflib.SequenceMatcher(None, 'ab' * 5000, 'ba' * 5000).ratio()",
    "an import hook": """
import builtins
def hook(*_, **__):
    while True: pass
builtins.__import__ = hook
import json
""",
    "a factor": "n = (1 << 127) - 1\nx = 3\nwhile n % x: x += 2",
}

OUTPUT = {
    "lines": "while True: print('y' * 100)",
    "without lines": "while True: print('y' * 100, end='')",
    "one line": "print('y' * (50 << 20))",
    "to standard error": "while True: sys.stderr.write('y' * 1000)",
    "bytes": "while True: sys.stdout.buffer.write(b'\\xff' * 1000)",
    "the value": "'y' * (20 << 20)",
    "the error": "raise ValueError('y' * (20 << 20))",
    "the error's name": "raise type('Y' * (1 << 20), (Exception,), {})",
    "the error's notes": """
error = ValueError()
for _ in range(9999): error.add_note('y' * 1000)
raise error
""",
    "the error's causes": """
error = None
for number in range(5000):
    try:
        raise ValueError(number) from error
    except ValueError as caught: error = caught
raise error
""",
    "a group of errors": "raise ExceptionGroup('y', [ValueError('y' * 1000) for _ in range(9999)])",
    "from below": "os.write(1, b'y' * 1000); win()",
    "by another stream": "import io; io.FileIO(1, 'w').write(b'y'); win()",
    "the standard streams are closed": "sys.stdout.close(); print('y')",
    "the standard streams are no streams": "sys.stdout = sys.stderr = None; print('y')",
    "half a character": "print('\\ud800' * 1000)",
    "a bell and a nul": "print('\\a\\0\\x1b[2J')",
    "warnings": """
import warnings
warnings.simplefilter('always')
for n in range(999): warnings.warn('y' * 99 + str(n))
""",
}

SLEEP = {
    "sleep": "import time; time.sleep(60)",
    "sleep often": "import time\nwhile True: time.sleep(0.001)",
    "sleep for ever": "import time; time.sleep(float('inf'))",
    "sleep for no number": "import time; time.sleep(float('nan'))",
    "sleep for long": "import time; time.sleep(1e300)",
    "sleep backwards": "import time; time.sleep(-1)",
    "sleep, and be quiet about it": """
import time
try: time.sleep(60)
except BaseException: pass
""",
    "the clock stands": """
import time
until = time.monotonic() + 60
while time.monotonic() < until: time.sleep(0)
""",
    "the clock is set": "import time; time.clock_settime(time.CLOCK_REALTIME, 0)",
    "the sleep from below": "builtin('time').sleep(60)",
    "select": "builtin('select').select([], [], [], 60)",
    "poll": "builtin('select').poll().poll(60000)",
    "an event": "import threading; threading.Event().wait(60)",
    "a lock": "import threading; lock = threading.Lock(); lock.acquire(); lock.acquire(timeout=60)",
    "a lock without a limit": "import threading; lock = threading.Lock(); lock.acquire(); lock.acquire()",
    "a queue": "import queue; queue.Queue().get(timeout=60)",
    "a queue without a limit": "import queue; queue.SimpleQueue().get()",
    "a scheduler": "import sched; s = sched.scheduler(); s.enter(60, 1, print); s.run()",
    "a signal": "builtin('_signal').pause()",
    "sqlite is busy": """
import sqlite3
db = sqlite3.connect(':memory:', timeout=60)
db.create_function('nap', 0, lambda: __import__('time').sleep(60))
db.execute('select nap()').fetchall()
""",
}

DEPTH = {
    "a function": "def f(): f()\nf()",
    "a function without a limit": "sys.setrecursionlimit(1 << 30)\ndef f(): f()\nf()",
    "a function that catches": """
sys.setrecursionlimit(1 << 30)
def f():
    try: f()
    except RecursionError: f()
f()
""",
    "a repr": "sys.setrecursionlimit(1 << 30)\nclass A:\n    def __repr__(self): return repr(self)\nrepr(A())",
    "an attribute": "class A:\n    def __getattr__(self, name): return getattr(self, name + 'x')\nA().x",
    "a comparison": "a = []\nb = []\na.append(b); b.append(a)\na == b",
    "a list in a list": "x = []\nfor _ in range(300000): x = [x]\nrepr(x)",
    "its end": "x = []\nfor _ in range(1000000): x = [x]\ndel x\nprint(6 * 7)",
    "tuples and their hash": "x = ()\nfor _ in range(300000): x = (x,)\nhash(x)",
    "json": "import json; json.loads('[' * 1000000)",
    "pickle": "import pickle\nx = []\nfor _ in range(300000): x = [x]\npickle.dumps(x)",
    "copy": "import copy\nx = []\nfor _ in range(300000): x = [x]\ncopy.deepcopy(x)",
    "marshal": "import marshal\nx = []\nfor _ in range(300000): x = [x]\nmarshal.dumps(x)",
    "xml": """
import xml.etree.ElementTree as tree
tree.tostring(tree.fromstring('<a>' * 100000 + '</a>' * 100000))
""",
    "a pattern": "import re; re.compile('(' * 5000 + ')' * 5000)",
    "generators": "def g(n): yield from g(n + 1)\nsys.setrecursionlimit(1 << 30)\nnext(g(0))",
    "iterators of iterators": "x = iter(())\nfor _ in range(300000): x = map(abs, x)\nlist(x)",
    "classes of classes": "x = object\nfor n in range(20000): x = type('C', (x,), {})",
    "partial functions": """
import functools
x = int
for _ in range(300000): x = functools.partial(lambda f: f(), x)
x()
""",
    "annotated source": "eval('(' * 100 + ')' * 100)",
    "lists in source": "eval('[' * 5000 + ']' * 5000)",
    "signs in source": "eval('-' * 100000 + '1')",
    "sums in source": "eval('+'.join(['1'] * 100000))",
    "attributes in source": "eval('x' + '.x' * 50000)",
    "functions in source": "eval('lambda: ' * 5000 + '1')",
    "blocks in source": "exec(''.join(' ' * n + 'if 1:\\n' for n in range(500)) + ' ' * 500 + 'pass')",
    "an unparsed tree": """
import ast
node = ast.Constant(1)
for _ in range(100000): node = ast.UnaryOp(ast.USub(), node)
compile(ast.fix_missing_locations(ast.Expression(node)), 'x', 'eval')
""",
}

# These are the whole program, without the prelude.
SOURCES = {
    "a nul": "print(1)\0print(2)",
    "only nuls": "\0" * 1000,
    "a byte order mark": "\ufeffprint(1)",
    "another encoding": "# -*- coding: utf-7 -*-\n+AGkAbQBwAG8AcgB0- os",
    "an encoding that is none": "# -*- coding: none -*-\nprint(1)",
    "letters that look like others": "import ºs\nprint(1)",
    "a line without an end": "x = " + "1 + " * 20_000 + "1",
    "lines without an end": "x = 1\n" * 20_000,
    "parentheses": "(" * 50_000,
    "parentheses that close": "(" * 5_000 + ")" * 5_000,
    "strings in strings": "f'" + "{f'" * 5_000,
    "an indent": " " * 90_000 + "x",
    "a number": "9" * 90_000,
    "names": "\n".join(f"x{number} = {number}" for number in range(6_000)),
    "arguments": "f(" + "a," * 40_000 + ")",
    "an escape": "'\\N{" + "A" * 80_000 + "}'",
    "nothing but white space": "\n \t \n",
    "an end of file in a string": "'''",
    "a syntax error in the middle of the night": "if x\n" * 10_000,
}

GROUPS = {
    "files": FILES,
    "network": NETWORK,
    "processes": PROCESSES,
    "inside": INSIDE,
    "allocations": ALLOCATIONS,
    "loops": LOOPS,
    "output": OUTPUT,
    "sleep": SLEEP,
    "depth": DEPTH,
    "sources": SOURCES,
}
# Seconds: enough for those that come to an end, short for those that do not.
LIMITS_S = {"files": 2.0, "network": 2.0, "processes": 2.0, "inside": 0.5, "allocations": 0.4}
ENDLESS_S = 0.12


@dataclass(frozen=True)
class Attempt:
    """A program, and how long it may go on."""

    code: str
    limit_s: float


ATTEMPTS = {
    f"{group}: {name}": Attempt(code if group == "sources" else PRELUDE + code, LIMITS_S.get(group, ENDLESS_S))
    for group, members in GROUPS.items()
    for name, code in members.items()
}

"""Pieces of Python for the digest tests: every kind of syntax that 3.11 reads, with the constants that are easy to lose."""

from __future__ import annotations

SAMPLES: dict[str, str] = {
    "empty": "",
    "docstrings": '"""module"""\nclass A:\n    """class"""\n    x = 1\n    """of x"""\n    def f(self):\n        """only"""\n',
    "constants": (
        "a = [None, True, False, ..., 0, 1, -1, 0.0, -0.0, 1e999, 1e-5, 1j, -2.5j, 'x', u'x', b'x\\xff', '', b'']\n"
        "b = 0x" + "f" * 6000 + "\n"
        "c = 10**40, 0b101, 0o17, 1_000\n"
        "d = '\\ud800 \\udfff \\x00 \\n é 𝔘'\n"
        "e = 'a' 'b' \"c\"\n"
    ),
    "fstrings": (
        "a = f''\nb = f'x'\nc = f'{x}'\nd = f'a{x}b{y}c'\ne = 'p' f'{x}' 'q' \"r\" f'{y}'\nf = f'{x!r}{y!s}{z!a}'\n"
        "g = f'{x:>10}'\nh = f'{x:{w}.{p}f}'\ni = f'{x!r:^{w}}'\nj = f'{{}}{{{x}}}'\nk = f'{x=}'\nl = f'{ x = }'\n"
        "m = f'{x:}'\nn = f'{d[\"k\"]}'\no = f'''{\nx\n}'''\np = rf'\\d{x}\\n'\nq = f'\\n{x}\\u00e9\\N{BULLET}'\n"
        "r = f'{x:%Y-%m-%d}'\ns = f'{(lambda y: y)(1)}'\nt = f'{f\"{x}\"}'\nu = f'{x=!r:>{w}}'\nv = f\"{x:{'>'}{10}}\"\n"
        "w = f'{x:{{}}}'\n"
    ),
    "match": (
        "match x:\n"
        "    case None | True | False: a\n"
        "    case 1 | -2.5 | 'x' | b'y' | 1+2j: a\n"
        "    case [1, *rest] | (1, *_): a\n"
        "    case {'k': v, **others}: a\n"
        "    case Point(x=0, y=yy) | Point(0, _): a\n"
        "    case [a, [b, c]] as whole if a > b: a\n"
        "    case mod.NAME: a\n"
        "    case _: pass\n"
    ),
    "functions": (
        "def f(a, /, b: int = 1, *args: str, c, d: 'x' = 2, **kw) -> None:\n"
        "    global g\n"
        "    g = 1\n"
        "    def inner():\n"
        "        nonlocal a\n"
        "        a += 1\n"
        "        yield a\n"
        "        x = yield\n"
        "        yield from y\n"
        "    return inner\n"
        "def g(*, a, b=1, c): ...\n"
        "h = lambda *a, b=1, **c: (a, b, c)\n"
        "def i(): pass\n"
        "def j(): return\n"
    ),
    "async": (
        "async def f():\n"
        "    await g()\n"
        "    async for x in y:\n"
        "        break\n"
        "    else:\n"
        "        pass\n"
        "    async with a as b, c:\n"
        "        return [z async for z in w if await z]\n"
        "    yield 1\n"
    ),
    "classes": (
        "@dec\n@dec.more(1, *a, k=2, **kw)\n"
        "class C(Base, mixin.Other, metaclass=M, **kw):\n"
        "    __slots__ = ('a',)\n"
        "    a: int\n"
        "    b: list[int] = []\n"
        "    (c): str\n"
        "    @property\n"
        "    def p(self): return super().p\n"
        "    @p.setter\n"
        "    def p(self, v): self._p = v\n"
        "class D: pass\n"
    ),
    "statements": (
        "import a, b.c as d\nfrom . import e\nfrom ..f import g as h, i\nfrom j import *\n"
        "try:\n    a\nexcept (E, F) as exc:\n    raise G from exc\nexcept H:\n    raise\nelse:\n    b\nfinally:\n    c\n"
        "try:\n    a\nexcept* E as group:\n    b\n"
        "with a, b as c:\n    pass\nwith (a as x, b as y):\n    pass\n"
        "for i, *j in k:\n    continue\nelse:\n    l\n"
        "while a:\n    if b: break\n    elif c: d\n    else: e\n"
        "del a, b[0], c.d\nassert x, 'why'\na = b = c\na, *b = c\nx += 1\ny @= z\n(x)\n"
    ),
    "expressions": (
        "a = [*b, *c]\nd = {**e, 'k': 1, **f}\ng = {1, *h}\ni = (1,)\nj = ()\nk = l if m else n\n"
        "o = a < b <= c != d is not e not in f\np = a and b or not c\nq = ~a + -b - +c\nr = a[1:2, ::3, ..., *b]\n"
        "s = [x for x in y if z for w in x]\nt = {k: v for k, v in u}\nv = {x for x in y}\nw = (x for x in y)\n"
        "if (n := f(1, *a, k=2, **kw)) > 1: pass\nx = a @ b // c ** d % e << f >> g & h ^ i | j\ny = a.b.c(d)[e](f)\n"
    ),
}

#: What only newer versions of Python read, by the first one that does.
NEWER: dict[tuple[int, int], dict[str, str]] = {
    (3, 12): {
        "type parameters": (
            "def f[T: int, *Ts, **P](x: T) -> T: ...\nclass C[T](Base): ...\ntype A[T] = list[T]\ntype B = int\n"
        ),
        "nested quotes": "a = f'{d['k']}'\nb = f'{f'{x}'}'\nc = f\"{'\\n'.join(x)}\"\n",
    },
    (3, 13): {"type defaults": "class C[T = int, *Ts = *tuple[int], **P = [int]]: ...\ntype A[T = str] = list[T]\n"},
}

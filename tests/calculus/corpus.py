"""Formulas that once took for ever, all memory or a traceback, and families of such: nested, long, many factors."""

from __future__ import annotations

import random

from .expressions import _NUMBERS, CALLS


def attacks() -> list[str]:
    """Each of these fell once."""
    clamped = both = "x"
    for k in range(12):
        clamped = f"min(max({clamped}, sin({k}x)), x^2)"
    for k in range(6):
        both = f"max(min({both}, {both}-{k}), x^2)"
    return [
        nested("sin", 40),
        extreme("max", "sin", 20),
        clamped,
        both,
        total("sin", 15),
        total("sin", 30),
        product("sin", 10),
        product("sin", 15),
        "((x+1)^31+(x-1)^31)^31",
        "sin(pi/7)*sin(2*pi/7)*sin(3*pi/7)*x",
        "cos(pi/257)*x",
        "tan(pi/360)*x^2",
        "floor(10^200*pi)*x",
        "asin(sin(acos(cos(atan(tan(x))))))",
        "heaviside(heaviside(x))",
        "1/heaviside(x)",
        "heaviside(x)^-2*x",
        "atanh(2187)*x",
        "x+atanh(x+2187)",
        nested("tanh", 20),
        "sin(x^2-x+1)+3-x",
    ]


def nested(name: str, depth: int) -> str:
    return f"{name}(" * depth + "x" + ")" * depth


def total(name: str, count: int) -> str:
    return "+".join(f"{name}({k}*x+1)" for k in range(1, count + 1))


def product(name: str, count: int) -> str:
    return "*".join(f"{name}(x+{k})" for k in range(1, count + 1))


def extreme(name: str, inner: str, count: int) -> str:
    return f"{name}({', '.join(f'{inner}({k}*x)' for k in range(count))})"


def families() -> list[str]:
    """Every function nested, summed, multiplied, divided and compared; polynomials, fractions and towers of powers."""
    smooth = ("sin", "tan", "exp", "tanh", "sqrt", "abs", "sigmoid", "softplus", "relu", "floor", "log", "erf", "asin")
    texts = [nested(name, depth) for name in (*smooth, "atan", "asinh", "sign", "cosh") for depth in (3, 8, 20, 39)]
    for name in ("sin", "exp", "tanh", "abs", "sqrt", "log", "erf", "floor"):
        texts += [f(name, n) for f in (total, product) for n in (5, 15, 30)]
        texts += ["/".join(f"{name}(x+{k})" for k in range(1, 8)), extreme("min", name, 14)]
    for n in (5, 15, 60):
        each = range(1, n + 1)
        texts += ["+".join(f"1/(x+{k})" for k in each), "*".join(f"(x+{k})" for k in each)]
        texts += ["+".join(f"abs(x-{k})" for k in each), "*".join(f"abs(x-{k})" for k in each)]
        texts += ["+".join(f"(x-{k}*y)^{k % 7}" for k in each), "*".join(f"(x-{k}*y)" for k in each)]
        texts += ["+".join(f"x^{k}*y^{n - k}" for k in each), "sin(" + "+".join(f"x{k}" for k in each) + ")"]
    for depth in (3, 6, 12):
        tower = fraction = mixed = "x"
        for k in range(depth):
            tower, fraction = f"(x+{k})^({tower})", f"1/({fraction}+{k + 1})"
            mixed = f"sin(cos({mixed})*x)+exp(-({mixed})^2)" if len(mixed) < 300 else mixed
        texts += [tower, fraction, mixed]
    return list(dict.fromkeys([*texts, *ODD]))


ODD = (
    "(x^2+y^2+1)^30",
    "x^1000",
    "(x+1)^500+(x-1)^500",
    "((x+1)^30+1)^30",
    "1/(x^500+1)+1/(x^499+x)",
    "x^60-x^59+1",
    "x^x^x^x^x",
    "exp(x)^exp(x)",
    "sqrt(sqrt(2)+sqrt(3)+sqrt(5)+sqrt(7))*x",
    "cos(pi/97)*sin(pi/89)*tan(pi/83)*x^3+x",
    "ceil(10^100*sqrt(2))*x",
    "sin(10^200)*x",
    "cos(1)+cos(2)*x^2",
    "exp(exp(x))-exp(x)",
    "tan(x)*tan(2x)*tan(3x)",
    "sin(1/x)*x",
    "max(abs(x),abs(y))^3",
    "floor(sin(10x))",
    "erf(x)^10*exp(x^2)",
    "asin(acos(atan(x)))",
    "log(x)/log(2)+log(x)/log(3)",
    "1.1^x*1.2^x*1.3^x*1.4^x",
    "x^(1/7)+x^(1/11)+x^(1/13)+x^(1/17)",
    "(sin(x)+cos(x))^40",
    "(sin(x)+x)^1000",
    "(1+1/x)^x",
)


def anything(count: int, seed: int = 0) -> list[str]:
    """Random formulas of every operation and function."""
    draw = random.Random(seed)

    def one(depth: int) -> str:
        if depth < 1 or draw.random() < 0.12:
            return draw.choice(["x", "x", "x", "y", *draw.sample(_NUMBERS, 2), str(draw.randint(2, 10**4))])
        kind = draw.random()
        if kind < 0.4:
            return f"({one(depth - 1)}){draw.choice('+-*/')}({one(depth - 1)})"
        if kind < 0.55:
            return f"({one(depth - 1)})^({draw.choice(['2', '3', '-1', '1/2', one(depth - 2)])})"
        if kind < 0.9:
            return f"{draw.choice(sorted(CALLS))}({one(depth - 1)})"
        return f"{draw.choice(['min', 'max'])}({one(depth - 1)}, {one(depth - 1)})"

    return [one(draw.randint(2, 6)) for _ in range(count)]

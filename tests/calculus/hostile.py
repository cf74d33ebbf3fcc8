"""Texts that must be refused: code, nonsense, and formulas that would hang or fill the memory."""

CODE = (
    r"""
__import__('os')
__import__('os').system('echo hi')
x.__class__
().__class__.__bases__[0].__subclasses__()
lambda x: x
lambda: 0
(lambda x: x)(3)
exec('x')
eval('x')
open('/etc/passwd')
open("a").read()
print(x)
input()
exit()
quit()
globals()
locals()
getattr(x, 'a')
os.system(1)
sys.exit(1)
import os
from os import system
del x
x = 3
x := 3
x == y
x != y
x < y
x > y
x <= y
not x
x and y
x or y
x if y else z
[x for x in y]
{x: y}
{x}
[1, 2]
x[0]
x[-1]
x[1:2]
"x"
'x'
"""
    r"""
f"{x}"
b'x'
`x`
$x
${x}
%x
x % y
x // y
x @ y
x & y
~x
x << 2
x >> 2
x; y
x: y
\x
\frac{x}{y}
\input{a}
#x
x # y
@x
x?y
x ? y : z
x!
100000!
x'
yield x
await x
async x
assert x
raise x
return x
class A: pass
def f(): pass
while 1: pass
for i in x: i
Symbol('x')
sympify('x')
S('x')
N(pi, 1000000)
factorial(1000000)
gamma(1000000)
binomial(10, 5)
Integral(x, x)
integrate(x, x)
diff(x, x)
solve(x, x)
limit(x, x, 0)
summation(x, (x, 1, 1000000))
primepi(x)
prime(1000000)
factorint(x)
isprime(x)
fibonacci(1000000)
Function('f')(x)
Matrix(x)
Rational(1, 3)
Integer(3)
Float(1)
O(x)
I(x)
E(x)
zoo
oo
-oo
inf
-inf
nan
NaN
Infinity
∞
1/∞
None + 1 ; 2
x\ny\\
x.y
x..y
1..2
1.2.3
x.real
1.real
1.0.hex()
x.diff(x)
...
.
"""
)

NONSENSE = r"""
+
-
*
/
^
**
x +
x *
x /
x ^
x **
* x
/ x
^ x
x * * y
x ^^ 2
x *** 2
x */ 2
x + * 2
(
)
()
(x
x)
((x)
(x))
x()
sin
sin()
sin(x
sin x
sin(x, y)
sin(,)
sin(x,)
sin^2(x)
sin²(x)
cos cos(x)
log()
log(x, 2, 3)
min(x)
max()
max(x)
sqrt()
√
√()
|
||
|x
x|
|x|y|
,
x, y
1, 2
0,5
x,
(x, y)
x y
x 2
2 3
x(x + 1)
x (x + 1)
f(x)
f(x, y)
pi(x)
e(x)
1/2x
1/2(x + 1)
x/2y
1/2pi
x^2y
x^2(x + 1)
x**2y
0x10
0b11
0o7
0xFF
1_000
1__0
_x
__
_
1e5.5
²
x²²³⁴⁵⁶⁷
²x
½
x½
①
٣
٣ + x
x² ³ +
xy + x
xy² + x²
x*y + xy
xyz
xx + x
3xy²+4x³−5y²+1
x∧y
x→y
∂x
∫x
∑x
∏x
x≤y
x≠y
x±1
x∓1
x°
x‰
€5
5€
x…
“x”
x‮y
x​y
x﻿
x̂
☃
😀
"""

LARGE = r"""
9**9**9**9
9^9^9^9
9**9**9
2**2**2**2**2**2
10**10**10
10**400
10**-400
2**1000000
2**10000
7**999
-9**9**9
(-9)**(9**9)
1/9**9**9
x**9**9**9
((x**99)**99)**99
((x^99)^99)^99
(x**101)**10
(x+1)**1000000
(x+1)**1001
(x+y)**(10**6)
(x-1)^-100000
x**1e300
x**(2**64)
x**-1000000
x^1001
1e999999999
1e-999999999
1e999
1e309
-1e400
1e-400
0.1e-400
1e99999999999999999999999999999999
x*1e400
x + 1e400
exp(exp(exp(exp(9))))
exp(1000)
exp(-1000)
exp(exp(10))
exp(1e10)
exp(-exp(exp(5)))
e**e**e**e
e^(10^10)
sinh(1000)
cosh(1e9)
sqrt(exp(2000))
exp(10**10*log(2))
exp(log(2)*10**10 + x)
exp(10**9*log(x))
2**(x + 10**9)*2**-x
2**(10**9*x)
3**(x*10**7)*3
(x**x)**100000
1.5**100000
0.5**100000
(1/3)**5000
(2/3)**5000*x
1e200*1e200
1e-200*1e-200
1e250**2
x*(10**150)**3
1/0
x/0
0/0
1/(1-1)
1/(x-x)
x/(2*x - 2*x)
0**-1
0^-x*0^-1
log(0)
log(-1)
log2(0)
log10(-5)
log(0*x)
sqrt(-1)
sqrt(-x**0)
√(-4)
(-8)^(1/3)
(-1)**0.5
(-2)**pi
asin(2)
acos(-1.5)
acosh(0)
atanh(1)
atanh(-1)
atanh(2)
tan(1e400)
max(1, 1e400)
min(1/0, 2)
floor(10**400)
abs(-10**400)
sign(1e400)
9999999999**9999999999
(10**10)**(10**10)
(((((2**99)**99)**99)**99)**99)
sin(9**9**9)
cos(10**400)
log(9**9**9**9)
erf(10**500)
((x+1)**500+1)**500
(x*y*z)**900
x**500*x**501
(2*x)**1000*(2*x)**1000
x^^^^9
(((x+1)^50+1)^50+1)^50
"""

MADE = (
    "",
    " ",
    "\t\n",
    "(" * 10_000,
    ")" * 10_000,
    "(" * 10_000 + "x" + ")" * 10_000,
    "(" * 41 + "x" + ")" * 41,
    "-" * 10_000 + "x",
    "x" * 10_000,
    "x" * 33,
    "9" * 10_000,
    "9" * 1999,
    "0." + "0" * 1900 + "1",
    "x+" * 5_000 + "x",
    "x+" * 900 + "x",
    "x*" * 900 + "x",
    "x^" * 50 + "x",
    "2^" * 30 + "2",
    "sin(" * 41 + "x" + ")" * 41,
    "sin(" * 5_000,
    "exp(" * 30 + "x",
    "exp(" * 10 + "9" + ")" * 10,
    "|" * 41 + "x" + "|" * 41,
    "√" * 50 + "2",
    "x" + "²" * 10,
    "1" + "e" * 50 + "5",
    "max(" + "x," * 30 + "x)",
    "\x00",
    "x\x00",
    "\ud800",
    "x + \u202e1",
    "a" * 33 + "+1",
    "((x+1)" + "*(x+1)" * 200 + ")**9",
    "x**" + "9" * 300,
    "1e" + "9" * 1900,
    "+".join(f"sqrt(x + {n})" for n in range(150)),
    "(" + "+".join(f"x{n}" for n in range(500)) + ")",
    "*".join(["(2**99*x)"] * 12),
    "e**" * 39 + "9",
)


def texts() -> list[str]:
    lines = [line for part in (CODE, NONSENSE, LARGE) for line in part.splitlines() if line]
    return list(dict.fromkeys([*lines, *MADE]))

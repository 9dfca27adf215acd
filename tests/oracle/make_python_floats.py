"""Writes tests/data/base/python_repr.txt (bits of a double, Python's repr) and python_parsed.txt (bits, a decimal text that
Python reads as that double), which tests/base/test_json.c compares with. Needs only Python's standard library.

    python3 tests/oracle/make_python_floats.py
"""
import random
import struct
from fractions import Fraction
from pathlib import Path

out = Path(__file__).resolve().parent.parent / "data" / "base"
rng = random.Random(20240229)


def bits(x):
    return struct.unpack("<Q", struct.pack("<d", x))[0]


def from_bits(b):
    return struct.unpack("<d", struct.pack("<Q", b))[0]


def exact(q):
    """The finite decimal expansion of a fraction whose denominator is a power of two."""
    shift = q.denominator.bit_length() - 1
    return f"{q.numerator * 5**shift}e-{shift}"


values = [0.0, -0.0, 1.0, -1.0, 0.1, 1e-6, 1e16, 123456789012345680.0, 9999999999999998.0, 1e22, 1e23, 5e-324, 0.0001, 0.00001]
values += [1.7976931348623157e308, 2.2250738585072014e-308, 2.225073858507201e-308, 9007199254740993.0, 100.0, 1e15, 1e17]
values += [2.0**e for e in range(-1074, 1024)]
values += [float(f"1e{e}") for e in range(-323, 309, 7)]
values += [from_bits(rng.getrandbits(63)) for _ in range(700)]
values += [round(rng.uniform(-1000, 1000), rng.randrange(6)) for _ in range(200)]
values += [struct.unpack("<f", struct.pack("<f", rng.gauss(0, 1)))[0] for _ in range(200)]
values = [v for v in values if v == v and abs(v) != float("inf")]
(out / "python_repr.txt").write_text("".join(f"{bits(v):016x} {v!r}\n" for v in values))

texts = ["1e400", "-1e400", "1e-400", "0e999999999999999999999", "1e999999999999999999999", "1e-999999999999999999999"]
texts += ["0" * 1000 + "1", "0." + "0" * 1000 + "1e1001", "1" + "0" * 1000 + "e-1000", "." + "5" * 900, "9" * 1200 + "e-1190"]
texts += ["2.2250738585072011e-308", "2.4703282292062327e-324", "2.4703282292062328e-324", "1.7976931348623158e308"]
texts += ["1.7976931348623159e308", "+1.5", "1.", "007", "1E5", "1e+05"]
for _ in range(100):  # halfway between two doubles, a hair below and above it: what rounding must get right
    b = rng.getrandbits(52) | rng.choice([rng.randrange(1, 2046), rng.randrange(990, 1050)]) << 52
    middle = (Fraction(from_bits(b)) + Fraction(from_bits(b + 1))) / 2
    mantissa, exponent = exact(middle).split("e")
    texts += [f"{mantissa}e{exponent}", f"{int(mantissa) - 1}e{exponent}", f"{mantissa}.{'0' * 50}1e{exponent}"]
for b in (1, 2, 3, 2**52 - 1, 2**52):  # subnormal, 767 digits
    middle = (Fraction(from_bits(b)) + Fraction(from_bits(b - 1))) / 2
    mantissa, exponent = exact(middle).split("e")
    texts += [f"{mantissa}e{exponent}", f"{int(mantissa) - 1}e{exponent}", f"{mantissa}.{'0' * 500}1e{exponent}"]
for _ in range(300):
    n = rng.randrange(1, 40)
    digits = "".join(rng.choice("0123456789") for _ in range(n))
    point = rng.randrange(n + 1)
    texts.append(f"{digits[:point]}.{digits[point:]}e{rng.randrange(-330, 310)}" if digits else "1")
(out / "python_parsed.txt").write_text("".join(f"{bits(float(t)):016x} {t}\n" for t in texts))

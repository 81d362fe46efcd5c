"""Coefficients of the polynomials in src/kernels/wasm/as/math.ts: near-minimax fits in float64.

    python tools/fit_polynomials.py        (numpy, mpmath)

Each row fits P in f(x) = base(x) + factor(x) * P(z(x)) so that the largest |weight(x) * error| over
the interval is smallest (Lawson's iteration on a dense Chebyshev grid). Prints the coefficients
rounded to float32, constant term first, and the error that is left.
"""
import mpmath as mp
import numpy as np

mp.mp.dps = 40


def fit(name, f, interval, degree, base, factor, z, weight):
    a, b = interval
    nodes = [mp.mpf(a) + (mp.mpf(b) - a) * (1 - mp.cos(mp.pi * (i + mp.mpf(1) / 2) / 1600)) / 2 for i in range(1600)]
    nodes = [x for x in nodes if abs(x) > 1e-6]
    target = np.array([float((f(x) - base(x)) / factor(x)) for x in nodes])
    scale = np.array([float(weight(x) * factor(x)) for x in nodes])
    powers = np.vander([float(z(x)) for x in nodes], degree + 1, increasing=True)
    lawson = np.ones(len(nodes)) / len(nodes)
    for _ in range(400):
        w = np.sqrt(lawson) * np.abs(scale)
        coefficients = np.linalg.lstsq(powers * w[:, None], target * w, rcond=None)[0]
        error = np.abs(scale * (powers @ coefficients - target))
        lawson = lawson * error
        lawson /= lawson.sum()
    rounded = np.float32(coefficients)
    left = np.abs(scale * (powers @ rounded.astype(float) - target)).max()
    print(f"{name}: error {left:.2e} = 2^{np.log2(left):.1f}")
    print("    " + ", ".join(repr(float(c)) for c in rounded))


one, zero = lambda x: mp.mpf(1), lambda x: mp.mpf(0)
ln2 = mp.log(2) / 2 * mp.mpf("1.001")
fit("exp", mp.exp, (-ln2, ln2), 4, lambda x: 1 + x, lambda x: x**2, lambda x: x, lambda x: 1 / mp.expm1(abs(x)))
fit("log", mp.log1p, (mp.sqrt(mp.mpf(1) / 2) - 1, mp.sqrt(2) - 1), 8, lambda x: x - x**2 / 2, lambda x: x**3, lambda x: x, lambda x: 1 / abs(mp.log1p(x)))
fit("tanh", mp.tanh, (0, mp.mpf("0.625")), 4, lambda x: x, lambda x: x**3, lambda x: x**2, lambda x: 1 / mp.tanh(x))
fit("erf", mp.erf, (0, 1), 6, lambda x: x, lambda x: x, lambda x: x**2, lambda x: 1 / mp.erf(x))
fit("erfc", lambda x: -mp.log(mp.erfc(x)), (mp.mpf("0.99"), 4), 8, zero, one, lambda x: x, mp.erfc)
quarter = mp.pi / 4 * mp.mpf("1.001")
fit("sin", mp.sin, (0, quarter), 3, lambda x: x, lambda x: x**3, lambda x: x**2, lambda x: 1 / mp.sin(x))
fit("cos", mp.cos, (0, quarter), 2, lambda x: 1 - x**2 / 2, lambda x: x**4, lambda x: x**2, lambda x: 1 / mp.cos(x))

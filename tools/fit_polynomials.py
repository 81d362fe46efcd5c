"""Coefficients of the polynomials in src/kernels/wasm/as (math.ts, trigonometry.ts): near-minimax fits in float64.

    python tools/fit_polynomials.py        (numpy, mpmath)

Each row fits P in f(x) = base(x) + factor(x) * P(z(x)) so that the largest |weight(x) * error| over
the interval is smallest (Lawson's iteration on a dense Chebyshev grid). Prints the coefficients
rounded to float32, constant term first, and the error that is left. `fit_ratio` does the same for
P / Q with Q(0) = 1, each time with the weights of the Q before. tanh has the polynomial of exp.
"""
import mpmath as mp
import numpy as np

mp.mp.dps = 40


def sampled(f, interval, base, factor, weight):
    a, b = interval
    nodes = [mp.mpf(a) + (mp.mpf(b) - a) * (1 - mp.cos(mp.pi * (i + mp.mpf(1) / 2) / 1600)) / 2 for i in range(1600)]
    nodes = [x for x in nodes if abs(x) > 1e-6]
    target = np.array([float((f(x) - base(x)) / factor(x)) for x in nodes])
    return nodes, target, np.array([float(weight(x) * factor(x)) for x in nodes])


def report(name, left, *coefficients):
    print(f"{name}: error {left:.2e} = 2^{np.log2(left):.1f}")
    for list_ in coefficients:
        print("    " + ", ".join(repr(float(c)) for c in list_))


def fit(name, f, interval, degree, base, factor, z, weight):
    nodes, target, scale = sampled(f, interval, base, factor, weight)
    powers = np.vander([float(z(x)) for x in nodes], degree + 1, increasing=True)
    lawson = np.ones(len(nodes)) / len(nodes)
    for _ in range(400):
        w = np.sqrt(lawson) * np.abs(scale)
        coefficients = np.linalg.lstsq(powers * w[:, None], target * w, rcond=None)[0]
        error = np.abs(scale * (powers @ coefficients - target))
        lawson = lawson * error
        lawson /= lawson.sum()
    rounded = np.float32(coefficients)
    report(name, np.abs(scale * (powers @ rounded.astype(float) - target)).max(), rounded)


def fit_ratio(name, f, interval, degrees, base, factor, weight, z=lambda x: x, scale_by=1, less=0):
    """P / Q; the coefficients of less Q are taken from P, and all of them multiplied by `scale_by`."""
    nodes, target, scale = sampled(f, interval, base, factor, weight)
    x = np.array([float(z(node)) for node in nodes])
    largest = x.max()
    above, below = (np.vander(x / largest, degree + 1, increasing=True) for degree in degrees)
    q, lawson, best = np.ones(len(x)), np.ones(len(x)) / len(x), np.inf
    for _ in range(1500):
        w = np.sqrt(lawson) * np.abs(scale) / np.abs(q)
        system = np.hstack([above, -target[:, None] * below[:, 1:]])
        solution = np.linalg.lstsq(system * w[:, None], target * w, rcond=None)[0]
        p, q = above @ solution[: degrees[0] + 1], 1 + below[:, 1:] @ solution[degrees[0] + 1 :]
        error = np.abs(scale * (p / q - target))
        if error.max() < best:
            best, kept = error.max(), solution
        lawson = lawson * error
        lawson /= lawson.sum()
    p = kept[: degrees[0] + 1] / largest ** np.arange(degrees[0] + 1)
    q = np.append(1, kept[degrees[0] + 1 :]) / largest ** np.arange(degrees[1] + 1)
    p[: len(q)] -= less * q[: len(p)]
    p, q = np.float32(p * scale_by), np.float32(q * scale_by)
    values = [np.polynomial.polynomial.polyval(x, c.astype(float)) for c in (p, q)]
    report(name, np.abs(scale * (values[0] / values[1] + less - target)).max(), p, q)


ln2 = mp.log(2) / 2 * mp.mpf("1.001")
fit("exp", mp.exp, (-ln2, ln2), 4, lambda x: 1 + x, lambda x: x**2, lambda x: x, lambda x: 1 / mp.expm1(abs(x)))
fit("log", lambda s: 2 * mp.atanh(s), (0, 3 - 2 * mp.sqrt(2)), 2, lambda s: 2 * s, lambda s: s**3, lambda s: s**2, lambda s: 1 / (2 * mp.atanh(s)))
# Of some scales 1.7025 left the smallest errors after the coefficients had been rounded.
fit_ratio("erf", mp.erf, (0, mp.mpf("3.925")), (5, 5), lambda x: 0, lambda x: x, lambda x: 1 / mp.erf(x), lambda x: x**2, 1.7025, 0.25)
fit_ratio("softplus", mp.log1p, (0, 1), (2, 3), lambda x: x, lambda x: x**2, lambda x: 1 / mp.log1p(x))
# Twice the weight at the end, where rounding errors are largest.
fit("sin", mp.sin, (0, mp.pi / 2 * mp.mpf("1.001")), 3, lambda x: x, lambda x: x**3, lambda x: x**2, lambda x: (1 + x / 1.57) / mp.sin(x))

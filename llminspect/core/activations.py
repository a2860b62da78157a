"""What bends the numbers of a feed-forward step's hidden layer, each by itself."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from llminspect.core.array import Array, ByName, namespace, overwrite


def sigmoid(x: Array) -> Array:
    """1 / (1 + e^−x), to the last digit far below 0 as well, where 0.5 (1 + tanh(x / 2)) has none left."""
    return 1 / _one_plus_exp(x)


def silu(x: Array) -> Array:
    """x / (1 + e^−x), also called swish (Elfwing et al. 2018)."""
    return x / _one_plus_exp(x)


def _one_plus_exp(x: Array) -> Array:
    """1 + e^−x, which may overflow to infinity where x is very negative: a quotient is then the right 0; or be 1."""
    with np.errstate(over="ignore", under="ignore"):
        return overwrite("add", overwrite("exp", namespace(x).negative(x)), 1)


def gelu_tanh(x: Array) -> Array:
    """0.5 x (1 + tanh(√(2/π) (x + 0.044715 x³))) (Hendrycks and Gimpel 2016, "Gaussian Error Linear Units")."""
    inner = x * x
    inner = overwrite("multiply", overwrite("add", overwrite("multiply", inner, 0.044715), 1), x)
    bent = overwrite("tanh", overwrite("multiply", inner, 0.7978845608028654))
    return overwrite("multiply", overwrite("multiply", overwrite("add", bent, 1), x), 0.5)


def gelu(x: Array) -> Array:
    """x Φ(x) = 0.5 x (1 + erf(x / √2)) (Hendrycks and Gimpel 2016, "Gaussian Error Linear Units")."""
    bent = overwrite("add", erf(x * math.sqrt(0.5)), 1)
    return overwrite("multiply", overwrite("multiply", bent, x), 0.5)


def erf(x: Array) -> Array:
    """The error function, 2/√π ∫₀ˣ e^−t² dt, within 1e-11 (the array API has none).

    1 − e^−x² · P(x) / Q(x), Cody 1969, "Rational Chebyshev approximations for the error function", table II (n = 8).
    """
    xp = namespace(x)
    size = xp.minimum(xp.abs(x), xp.full_like(x, 10.0))  # Beyond 10 it is 1, and the powers would overflow.
    rest = overwrite("divide", _polynomial(size, _ERF_ABOVE), _polynomial(size, _ERF_BELOW))
    rest = overwrite("multiply", rest, xp.exp(-size * size))
    return overwrite("multiply", 1 - rest, xp.sign(x))


_ERF_ABOVE = (
    2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594, 6.61191906371416295e1, 2.98635138197400131e2,
    8.81952221241769090e2, 1.71204761263407058e3, 2.05107837782607147e3, 1.23033935479799725e3,
)  # fmt: skip
_ERF_BELOW = (
    1.0, 1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2, 1.62138957456669019e3,
    3.29079923573345963e3, 4.36261909014324716e3, 3.43936767414372164e3, 1.23033935480374942e3,
)  # fmt: skip


def _polynomial(x: Array, coefficients: tuple[float, ...]) -> Array:
    """Highest power first."""
    value: Array = namespace(x).full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        value = overwrite("add", overwrite("multiply", value, x), coefficient)
    return value


def relu(x: Array) -> Array:
    """max(x, 0)."""
    xp = namespace(x)
    return xp.maximum(x, xp.zeros((), dtype=x.dtype))


def relu_squared(x: Array) -> Array:
    """max(x, 0)² (So et al. 2021, "Primer", section 4.1)."""
    positive = relu(x)
    return overwrite("multiply", positive, positive)


def quick_gelu(x: Array) -> Array:
    """x σ(1.702 x) (Hendrycks and Gimpel 2016, section 2)."""
    return overwrite("divide", silu(x * 1.702), 1.702)


def tanh(x: Array) -> Array:
    return namespace(x).tanh(x)


CURVE = ("rising", "falling", "slope", "limit")


def xielu(x: Array, arrays: ByName, part: str) -> Array:
    """αp x² + β x above 0, αn (e^x − 1 − x) + β x below (Huang and Schlag 2025, "Deriving Activation Functions Using
    Integration", section 3.2).

    `arrays` holds `part`.rising and .falling, of which αp = softplus(rising) and αn = β + softplus(falling), .slope (β)
    and .limit, the largest x that e^x − 1 is taken of, [1] each.
    """
    xp = namespace(x)
    rising, falling, slope, limit = (arrays[f"{part}.{name}"] for name in CURVE)
    above = softplus(rising) * x * x
    below = (xp.expm1(xp.minimum(x, limit)) - x) * (slope + softplus(falling))
    bent: Array = xp.where(x > 0, above, below) + slope * x
    return bent


def softplus(x: Array) -> Array:
    """log(1 + eˣ): above nought, and x where that is large."""
    xp = namespace(x)
    return xp.logaddexp(xp.zeros_like(x), x)


def gelu_10(x: Array) -> Array:
    """GELU, between −10 and 10 (Wu et al. 2020, "Integer Quantization for Deep Learning Inference", section 5)."""
    return namespace(x).clip(gelu(x), -10.0, 10.0)


def mish(x: Array) -> Array:
    """x tanh(log(1 + e^x)) (Misra 2019, "Mish: A Self Regularized Non-Monotonic Activation Function")."""
    return x * tanh(softplus(x))


def relu6(x: Array) -> Array:
    """x between 0 and 6 (Krizhevsky 2010, "Convolutional Deep Belief Networks on CIFAR-10")."""
    return namespace(x).clip(x, 0.0, 6.0)


def hardswish(x: Array) -> Array:
    """x times (x + 3) / 6 between 0 and 1 (Howard et al. 2019, "Searching for MobileNetV3", section 5.2)."""
    return x * relu6(x + 3) / 6


def leaky_relu(x: Array) -> Array:
    """x above 0, a hundredth of it below (Maas et al. 2013)."""
    xp = namespace(x)
    return xp.where(x > 0, x, x * 0.01)


def laplace(x: Array) -> Array:
    """(1 + erf((x − μ) / (σ√2))) / 2, a smooth step (Ma et al. 2022, "Mega", section 3.3)."""
    return (erf((x - 0.707107) / (0.282095 * math.sqrt(2))) + 1) * 0.5


def sqrt_softplus(x: Array) -> Array:
    """√log(1 + e^x)."""
    return namespace(x).sqrt(softplus(x))


_NAMED = (
    *(silu, gelu, gelu_tanh, relu, relu_squared, quick_gelu, tanh, gelu_10, mish, relu6, hardswish, leaky_relu),
    *(laplace, sigmoid, sqrt_softplus),
)
ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    **{activation.__name__: activation for activation in _NAMED},
    "linear": lambda x: x + 0,
}

"""The decoders of ggml's types of few bits: of two or three values a weight, and the IQ types with their grids.

A block of an IQ type has 256 weights, each group of 8 or 4 of which is one entry of a grid. As those of
`quant_types.py` the decoders take blocks as bytes [n, bytes of a block], fill float32 [n, weights of a block] and give
the same bits as the `gguf` package; the layouts are those of `ggml-common.h`. Loaded when the first such block is
decoded.

The grids, which groups of 8 or 4 steps an index stands for, are from `ggml-common.h` of ggml (MIT licence,
(c) 2023-2026 The ggml authors): `iq2xxs_grid`, `iq2xs_grid`, `iq2s_grid`, `iq3xxs_grid`, `iq3s_grid`, `iq1s_grid`. Each
is a list of groups in ascending order, a group read as a number whose digits are the places of its steps, the first the
lowest. Kept are the differences of one such number to the next, 16 bits each, compressed (zlib) and written as text
(base 85).
"""

from __future__ import annotations

import base64
import zlib
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Floats = NDArray[np.float32]

_BITS = np.arange(8, dtype=np.uint8)
_SEVEN = np.arange(128, dtype=np.uint8)
_EVEN_SIGNS = _SEVEN | (np.unpackbits(_SEVEN[:, None], axis=1).sum(axis=1, dtype=np.uint8) & 1) << 7
"""Seven signs say the eighth: an even number of them is minus (`ksigns_iq2xs`)."""
_TILT = np.float32(0.125)
"""What a group of one of the types of 1 bit is moved by, up or down (`IQ1S_DELTA`)."""


def _fill(out: Floats, scales: NDArray[Any], groups: Floats, signs: Bytes | None = None) -> None:
    """scale × group × sign; scales [n, s], groups [n, g, 8 or 4], and bits for each number of a block."""
    n = len(out)
    out.reshape(n, scales.shape[1], -1)[:] = groups.reshape(n, scales.shape[1], -1) * scales[..., None]
    if signs is not None:
        minus = ((signs[..., None] >> _BITS) & 1).reshape(out.shape)
        out *= np.where(minus, np.float32(-1), np.float32(1))


def _half(blocks: Bytes, at: int = 0) -> Floats:
    return blocks[:, at : at + 2].copy().view("<f2").astype("f4")


def _cut(packed: NDArray[Any], shifts: tuple[int, ...], mask: int) -> NDArray[Any]:
    """Parts of each number, those of one number side by side: [n, m] to [n, m × shifts]."""
    kind = packed.dtype
    parts = (packed[..., None] >> np.array(shifts, kind)) & kind.type(mask)
    return parts.reshape(len(packed), -1)


def iq2_xxs(blocks: Bytes, out: Floats) -> None:
    words = blocks[:, 2:].copy().view("<u4").reshape(len(blocks), 8, 2)
    scales = _half(blocks) * (np.float32(0.5) + (words[..., 1] >> 28).astype("f4")) * np.float32(0.25)
    places = words[..., 0].copy().view("u1").reshape(len(blocks), -1)
    _fill(out, scales, grid("IQ2_XXS")[places], _EVEN_SIGNS[_cut(words[..., 1], (0, 7, 14, 21), 127)])


def iq2_xs(blocks: Bytes, out: Floats) -> None:
    words = blocks[:, 2:66].copy().view("<u2")
    scales = _half(blocks) * (np.float32(0.5) + _cut(blocks[:, 66:], (0, 4), 15)) * np.float32(0.25)
    _fill(out, scales, grid("IQ2_XS")[words & 511], _EVEN_SIGNS[words >> 9])


def iq2_s(blocks: Bytes, out: Floats) -> None:
    places = blocks[:, 2:34].astype("u2") | _cut(blocks[:, 66:74], (0, 2, 4, 6), 3).astype("u2") << 8
    scales = _half(blocks) * (np.float32(0.5) + _cut(blocks[:, 74:], (0, 4), 15)) * np.float32(0.25)
    _fill(out, scales, grid("IQ2_S")[places], blocks[:, 34:66])


def iq3_xxs(blocks: Bytes, out: Floats) -> None:
    words = blocks[:, 66:].copy().view("<u4")
    scales = _half(blocks) * (np.float32(0.5) + (words >> 28).astype("f4")) * np.float32(0.5)
    _fill(out, scales, grid("IQ3_XXS")[blocks[:, 2:66]], _EVEN_SIGNS[_cut(words, (0, 7, 14, 21), 127)])


def iq3_s(blocks: Bytes, out: Floats) -> None:
    places = blocks[:, 2:66].astype("u2") | _cut(blocks[:, 66:74], tuple(range(8)), 1).astype("u2") << 8
    scales = _half(blocks) * (1 + 2 * _cut(blocks[:, 106:], (0, 4), 15))
    _fill(out, scales, grid("IQ3_S")[places], blocks[:, 74:106])


def iq1_s(blocks: Bytes, out: Floats) -> None:
    words = blocks[:, 34:].copy().view("<u2")
    places = blocks[:, 2:34].astype("u2") | _cut(words, (0, 3, 6, 9), 7) << 8
    tilts = np.where(words & 0x8000, -_TILT, _TILT)[..., None, None]
    groups = grid("IQ1_S")[places].reshape(len(blocks), 8, 4, 8) + tilts
    _fill(out, _half(blocks) * (2 * (words >> 12 & 7) + 1), groups)


def iq1_m(blocks: Bytes, out: Floats) -> None:
    words, packed = blocks[:, 48:].copy().view("<u2"), _cut(blocks[:, 32:48], (0, 4), 15)
    quarters = (words & 0xF000) >> np.array([12, 8, 4, 0], np.uint16)  # Of one float16 scale, 4 bits of each word.
    scale = np.bitwise_or.reduce(quarters, axis=1, keepdims=True).view("<f2").astype("f4")
    places = blocks[:, :32].astype("u2") | (packed & 7).astype("u2") << 8
    groups = grid("IQ1_S")[places] + np.where(packed & 8, -_TILT, _TILT)[..., None]
    _fill(out, scale * (2 * _cut(words, (0, 3, 6, 9), 7) + 1), groups)


def q1_0(blocks: Bytes, out: Floats) -> None:
    """A sign for each weight."""
    scale = _half(blocks)
    np.copyto(out, np.where(np.unpackbits(blocks[:, 2:], axis=1, bitorder="little"), scale, -scale))


def tq1_0(blocks: Bytes, out: Floats) -> None:
    """Five weights of three values in a byte: what is carried when the rest of the byte is taken times three."""
    powers = np.array([1, 3, 9, 27, 81], np.uint8)[:, None]
    packed = (blocks[:, None, :32] * powers, blocks[:, None, 32:48] * powers, blocks[:, None, 48:52] * powers[:4])
    digits = np.concatenate([part.reshape(len(blocks), -1) for part in packed], axis=1).astype(np.uint16) * 3 >> 8
    out[:] = digits.astype("i1") - 1
    out *= _half(blocks, 52)


def tq2_0(blocks: Bytes, out: Floats) -> None:
    packed = blocks[:, :64].reshape(-1, 2, 1, 32) >> np.array([0, 2, 4, 6], np.uint8)[:, None] & 3
    out[:] = packed.reshape(out.shape).view("i1") - 1
    out *= _half(blocks, 64)


OF_2, OF_3, OF_3_ODD, OF_1 = (8, 25, 43), (4, 12, 20, 28, 36, 44, 52, 62), tuple(range(1, 16, 2)), (-1, 0, 1)


class _Grid(NamedTuple):
    steps: tuple[int, ...]
    together: int
    """Numbers in a group."""
    differences: str


_GRIDS = {
    "IQ2_XXS": _Grid(
        OF_2,
        8,
        "c-mEw!AiqG6h*Hxgb;=xA%sE7P$Wnw5<+oNqze}!(nXOjq|1JZOFzJG@mu^J&%BO72{W1Z=HC16dm~-``3jbs&xM@}TVAF8ooYoQPt>T_w"
        "PmZB>+{*qajlk9rC^N6`qlNbe#dRl2Gn!bE5Z3(FCiN;l_u6YGd;R1Ep-Fp$ykjR_;Ey|?kv;k%6zZcC;qP)S8D*<>O@t~&AaaZbzFdVxs"
        "%3pQykcX`H1GBN4+E3>X4C+N-JY-aCYuA_1Cipyp8miJOu4@3$h}=gum6^_yOesZiM0V26EJgzD>Qw#lj~4sF(RI(i@~1blf*+9&|+eJpY"
        "mGpa(p)R66R5seBqXf;p+YnDhhew-^K",
    ),
    "IQ2_XS": _Grid(
        OF_2,
        8,
        "c-n=ML2JV>426XW#+VR72%(HnN*JMx5=t38j2(LDX^fr6PCM<m-?E>)&$1WVrs*(oB~^M)dX|WpIoTE8p4j2@S1avVg-yTJS=8&DNg+<^f"
        "0)AUXE8hoty+b~TUlImlPOy0BnQEzXho)lyW-v?hFe|Olgeoq71)LjV!YzqPqKoQW4EbdkJrdH@sxNqekOw)<zb@fA5S$}mYNkc9TP{El6"
        "w!nC!XUyr`bKYHQhZCUGVjqe@pjE?XJ(9!QoO>q1@B`h}x8D<*Idfu?A}xQ5>fuUZ<JfW;UoDx5mh$EM+%p<5ZXMx)w#PtU+n;a_z8FO^k"
        "f&Zp4n9>TTo;v?W=EylO8Sc?WwZ2dYBl+y*o!x&>~Fs`1s!v16mUR77ex2JT+BuB6&4hLcY?0<s^cEckyxZYwX`HSs%D;Xt*azYnJCdE1q"
        ";MV%e!136vNK2(Qp*7BnmasRf86J9B3-^23@mMj^e",
    ),
    "IQ2_S": _Grid(
        OF_2,
        8,
        "c-oy+OKQVF3>9GzLojAAC757JFvWyWvM3>oE_;Tap^M!A0F^XjXZ~@5u|1ZhXX!m@46rF2YQ;0sRb?YFiBiEEjC>GufY1uEBCCFoM|@!6i"
        "z$kFkT=3M%E-4PbeS4UY;YxQkRMxoL``^%Ypq)tp~+URs`{vE)iovWYqRi!E_Za+e9g}>S@U50l;wS*n@%G843>c%tr($&V^J%cg_aIffk"
        "tyrVvvm{U1oNA;YAfYu3i~;)ZpG3m;#>nj%kE%s-hu3?uNIOiu$vF*{pK&Qdeg7#;A_|<vv@}6|(|emeHMft4e%RjBQ10UR|Hs@xnQIt*1"
        "G1SRI|S4NC`IGw(Ishow3LC+eJZ_wbc0^JM5Nmajv!WBHlzT(GBsAJ@T0`es9Y{0pDKy!tzfzZ0Uj^OX5U=VQIB<(x37SM#W4rY!0;n7~O"
        ";dg`$Yog1p96N~aDr=<2BMH7y-ens4;eRz`04-`2r>RxCy()}j5_K!I4P7|F2<u;0bjQZ|)QVwwx?F{@8j-d?BRP7*t7tZ2?p8f%+y&0h",
    ),
    "IQ3_XXS": _Grid(
        OF_3,
        4,
        "c-l>nT~C8R5JfK_-_RlyslnFP+N2s2qdxnlzBT^;f8&`cA%^TOJ9FmFos~kqn02LqJyot-zg?m!f03W1DrFO$dc>$gi58rRSC=}d(+a}q("
        "BqvNeP|$Rnmu$gYhO;Q3$*r##a`!pss|K8YI4=om1rDvVsFu{bSAU=r(|Ap-MeNqDU3c@=C_N>n!U!4&Gy3Dqq62+z<#@%L3i_vJ#0L?C^"
        "<*(R+DM8#K|Xn2a(`tq<c%|#9BcwU@Ll@xh?72KwWDKbtG$@dvcMhzteZXX#zDs*ld}ew3+74i2mZ($i^!+5L=WUsrf<es5d%W-d-TUNds"
        "T#8DFt(@NE6|MD2}Qed!PKX%Cq",
    ),
    "IQ3_S": _Grid(
        OF_3_ODD,
        4,
        "c-mD{Yfr;440PH&+9q9Bw!y|g0u5<`?-T$3pK-o8(@>SfcKkSBToH$_myV~y*-`cqB|z%UqH==P-~Bwj)Z(cnnXw1NIa(a=dirR#mT87GK"
        "=-sH)`*OlnWvXbO|6mpA`|q&+hD#6q|6K(S)nE7Za#`+|A4b~ReR7F%|8-r?NOr=t0mq??33~04avmSSg80MBUeb-SejX-a&macxyY5>>H"
        "Yc6Xn{?mhkq!$J1S=!ReiR%(iM%{x@(OiwTZbC@q1#fY<l$Dsz!8}v5&AP-km4~ShPmQKG1uTH*)ETJHzs7csfS3+2~m>GOA-HMY|=2dQ;"
        "!<L~erhHu6+71LsYrXypsf%$<o~g0{o=VeDqP*qhY;6F#jJtajv-MB-L-fjk7ffbvx67wnZTIG>Qw0a+o^Pe>~wkDM@N>BL-$veqm1Z&aQ"
        "~;8G?hR-NSqr$en7XR*mCxGnO9wL{b|JK5lDGkXC3EpolfGtfl#ty~tOzQK3F>Vaer-?Mxp=0-H5Wzb5RA;Yu7o3(#V`8;tlHppH7>ZAO?"
        "_X9|;@&~>@55W",
    ),
    "IQ1_S": _Grid(
        OF_1,
        8,
        "c-oCuYnS672(5x7leROn-}nFj&NaLQO=k9Zni?M{aJi7jqk4l!>rd>z_8=bF!-)0pQFONU-nkNe#zwav_MbbbKV>!Q$>48K-AUY#&->E1Q"
        "+DZdvZCs2(eawvhsvxz``K5&`aik8g-;a8$S1FN#ak`TUSn(Q{RukqQt5Q7JE*0ljoE{5X)<fD>?!@FtHJMYO;(ZG!kWzNY^QU_w|k@oU!"
        "mICY%aGfdM5ID!?s0lSp9a8tS@_P#p)9oYvGP%T3OOa_U-Wh&=1pYP`RLz3tLjqwX<)~wXGNT6eJuSDK-lo%R}pNA7n|8?(xyrZvB6oyki"
        "){zWzv<Fa$(YT+NDqH$In=EzO^#c$=dbZ|8Q^cu!uH5jhbUb>#6euqbN}_y1^eQqx_eSZ<2N<0g)d5CeuuP_1o*!U;`LI`0}9x7%2Lxu(*"
        "-SyN$>fr^2!I$6Bxxfw%(>1T+fLw%1O7p=chKN)(TmRQJ=Od6?eGe&WGH#`p17v<;~v&~}!Zcc>|lg7?wnW2}k!WQyDj2-I%-=`!UFvM%*"
        "hQXZ{TjrT>k9*nu$##r9gn<F0zN8s~63=IT$+oH&v+<_mOj`Vbet*kLdB=yxUtv5Hmmz+G1z{z5woF!|v|9W=TejS??5tb4Xm!yZmKj)N)"
        "`@**+2B&H&m8PB#(+_1BP~THDh})9Q|ZS!yo@Kh#Kh`#&^Fc(Gt|cDK}THFaKzP?EcFV^O9_2~kax&Xf;O=z=^cuXNp`kO{L<>FFw2Rx-^"
        "zJkp3&>Xes#&RyRMt#6jR-FR#P(v)u895;}A|3|21XsoOL3CP$lL34*dI4uZ^rAS!UNPnDZmJCt|#U-@_`a(+ls3Q40Ha3l`3qriH5Eu0E"
        "`xx{O*jodNHy5}s=Fb>^*A=H{6gwYH_eM$z9R2VB);r_VoAB`j96cmdXC3oI9FNbve()bP;`rtLn}tyV)EzgX~nlgT9tDP-tfzenbLv|=8"
        ";#w}iNj69S5MjEffR#nHI38gznT8<le?i#UW$`mC<4tOo~e|%I!y}#Dlq^#KjGZ`n7`UO2gjFAqnR57q|;i?5)@0B}d3&-jMQVy3o@T0dq"
        "eZ9P#iQhlO($yE*$exASA!bvlD?wvMzD)7gO7V~So<emC&ij8SEaZxSmfU~VG3E{69V3%~@-{ld)rD!EKj^+|l}_A4-_hKPS;}hLf0HK}p"
        "#",
    ),
}


@cache
def grid(name: str) -> NDArray[np.float32]:
    """The groups that a type of this name has, float32 [groups, numbers of a group]."""
    steps, together, differences = _GRIDS[name]
    numbers = np.cumsum(np.frombuffer(zlib.decompress(base64.b85decode(differences)), "<u2"), dtype=np.int64)
    places = numbers[:, None] // len(steps) ** np.arange(together) % len(steps)
    return np.array(steps, np.float32)[places]

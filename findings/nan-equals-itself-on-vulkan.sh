#!/bin/sh
# One would guess that `x != x` finds a NaN: it does in C, GLSL, HLSL, NumPy and PyTorch, and WGSL
# has no isnan.
#
# Through Vulkan it finds none. naga writes WGSL's `!=` as SPIR-V's ordered comparison, which is
# false as soon as one side is NaN; `x == x` is false as well, so that a NaN is neither equal to
# itself nor different. A guard of this form passes every test on OpenGL, where the same module sees
# the NaN, and lets it through on Vulkan. WGSL allows this: a shader may be compiled as if there
# were no NaN. What holds everywhere is a look at the bits.
#
# Seen on 2026-11-30 with wgpu-py 0.32.0 (naga 29) on Mesa 22.3.6 of Debian 12, and on SwiftShader,
# of a NaN:
#   Vulkan, x != x, x == x, bits: [0, 0, 1]     OpenGL: [1, 0, 1]
. "$(dirname "$0")/lib/prepare.sh"
prepare wgpu==0.32.0 numpy==2.4.6
tests='
from shader import adapter, compute, expect
import sys

by_bits = "(bitcast<u32>(x[0]) & 0x7fffffffu) > 0x7f800000u"
statements = f"y[0] = u32(x[0] != x[0]); y[1] = u32(x[0] == x[0]); y[2] = u32({by_bits});"
for backend, told in (("Vulkan", [0, 0, 1]), ("OpenGL", [1, 0, 1])):
    if backend in sys.argv:
        seen = compute(adapter(backend), statements, [float("nan")], 3, "f32", "u32")
        expect(seen, told, f"{backend}, x != x, x == x, bits")
'
(renderer lavapipe && "$python" -c "$tests" Vulkan OpenGL)
(renderer swiftshader && "$python" -c "$tests" Vulkan)

#!/bin/sh
# One would guess that integers, unlike floats, are the same on every backend: WGSL defines -7 % 3
# (-1), a division by zero (the dividend) and the conversion of a number that does not fit (the
# nearest that does).
#
# naga guards these operations where it writes SPIR-V, and writes them bare where it writes GLSL,
# where the language leaves them open. On one and the same renderer Vulkan gives what WGSL says and
# OpenGL something else: the remainder of -7 by 3 is 0, a division of 5 by zero is 0 with the
# remainder -1, and u32(-1.5) is not 0 but the largest number there is. An index that wraps around
# by a signed `%`, or a cast of a coordinate just below zero, points elsewhere on OpenGL.
#
# Seen on 2026-11-30 with wgpu-py 0.32.0 (naga 29) on Mesa 22.3.6 (LLVM 15.0.6) of Debian 12:
#   Vulkan, -7 % 3, 5 / 0, 5 % 0: [-1, 5, 0]     OpenGL: [0, 0, -1]
#   Vulkan, u32(-1.5): [0]                       OpenGL: [4294967295]
. "$(dirname "$0")/lib/prepare.sh"
prepare wgpu==0.32.0 numpy==2.4.6
renderer lavapipe
"$python" - <<'END'
from shader import adapter, compute, expect

operations = "y[0] = x[0] % x[1]; y[1] = x[2] / x[3]; y[2] = x[2] % x[3];"
told = {"Vulkan": ([-1, 5, 0], [0]), "OpenGL": ([0, 0, -1], [4294967295])}
for backend, (integers, converted) in told.items():
    on = adapter(backend, "Mesa 22.3")
    seen = compute(on, operations, [-7, 3, 5, 0], 3, "i32", "i32")
    expect(seen, integers, f"{backend}, -7 % 3, 5 / 0, 5 % 0")
    expect(compute(on, "y[0] = u32(x[0]);", [-1.5], 1, "f32", "u32"), converted, f"{backend}, u32(-1.5)")
END

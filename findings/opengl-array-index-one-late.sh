#!/bin/sh
# One would guess that `g[i] = p[(i + 1) % n]` turns an array by one place, on any backend.
#
# Through OpenGL on llvmpipe of Mesa 22.3 it does so up to 32 elements. From 33 on, where the loop
# is no longer unrolled, the element that is written is one too far: g[i + 1] = p[(i + 1) % n], so
# that the array comes out unturned. It takes an index into a local array for the store, and the
# same loop counter plus one in what is stored. Two neighbors as in a chain of springs, or a finite
# difference along an action, are enough. No message; Vulkan on the same renderer is right. The GLSL
# that naga writes says what the WGSL says, and so does the driver's own NIR (MESA_GLSL=dump), where
# the index of the store is still the counter before it is increased: the fault is in the driver,
# behind that.
#
# Seen on 2026-11-30 with wgpu-py 0.32.0 on Mesa 22.3.6 (LLVM 15.0.6) of Debian 12, of 0, 1, 2 .. n
# - 1:
#   OpenGL, 32 elements: [1, 2, 3, .. 31, 0]     OpenGL, 33 elements: [0, 1, 2, .. 31, 0]
. "$(dirname "$0")/lib/prepare.sh"
prepare wgpu==0.32.0 numpy==2.4.6
renderer lavapipe
"$python" - <<'END'
from shader import adapter, compute, expect

def turned(on, n):
    return compute(on, f"""
        var p: array<u32, {n}>;
        var g: array<u32, {n}>;
        for (var i = 0u; i < {n}u; i++) {{ p[i] = x[i]; }}
        for (var i = 0u; i < {n}u; i++) {{ g[i] = p[(i + 1u) % {n}u]; }}
        for (var i = 0u; i < {n}u; i++) {{ y[i] = g[i]; }}
    """, range(n), n, "u32", "u32")

right = lambda n: [*range(1, n), 0]
expect(turned(adapter("Vulkan", "Mesa 22.3"), 33), right(33), "Vulkan, 33 elements")
gl = adapter("OpenGL", "Mesa 22.3")
expect(turned(gl, 32), right(32), "OpenGL, 32 elements")
expect(turned(gl, 33), [*range(32), 0], "OpenGL, 33 elements")
END

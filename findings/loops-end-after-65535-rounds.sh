#!/bin/sh
# One would guess that a loop of a shader runs to its end, or that the device is lost when it takes
# too long.
#
# lavapipe of Mesa 22.3 gives every invocation 65535 rounds, for all of its loops together. What
# lies beyond is left out: the shader goes on behind the loop, no error is raised, and later loops
# make a single round. A sum over 100000 numbers in one invocation is the sum of the first 65535.
# The same holds through OpenGL. SwiftShader runs to the end.
#
# Seen on 2026-11-30 with wgpu-py 0.32.0 on Mesa 22.3.6 (LLVM 15.0.6) of Debian 12:
#   rounds of two loops of 100000: [65535, 1]
. "$(dirname "$0")/lib/prepare.sh"
prepare wgpu==0.32.0 numpy==2.4.6
renderer lavapipe
"$python" - <<'END'
from shader import adapter, compute, expect

two_loops = """
    for (var at = 0u; at < x[0]; at++) { y[0] += x[1]; }
    for (var at = 0u; at < x[0]; at++) { y[1] += x[1]; }
"""
for backend in ("Vulkan", "OpenGL"):
    rounds = compute(adapter(backend, "Mesa 22.3"), two_loops, [100_000, 1], 2, "u32", "u32")
    expect(rounds, [65535, 1], "rounds of two loops of 100000")
END

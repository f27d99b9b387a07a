#!/bin/sh
# One would guess that `var count: u32;` within a loop is zero in every round: WGSL says that a
# declaration without a value gives zero each time that it is reached.
#
# With the naga of wgpu 29, which is what wgpu-py 0.32 holds, it is zero in the first round and
# keeps what the round before left: a sum per row, declared in the loop over rows, is a running sum
# over all rows. Arrays and vectors do the same, on every backend. naga 30 and Tint set it to zero.
# `var count = 0u;` is right everywhere.
#
# Seen on 2026-11-30 with wgpu-py 0.32.0 on Mesa 22.3.6 (LLVM 15.0.6) of Debian 12:
#   1 added once per round, var count: u32; and var count = 0u: [1, 2, 3, 4], [1, 1, 1, 1]
. "$(dirname "$0")/lib/prepare.sh"
prepare wgpu==0.32.0 numpy==2.4.6
renderer lavapipe
"$python" - <<'END'
from shader import adapter, compute, expect

for backend in ("Vulkan", "OpenGL"):
    on = adapter(backend)
    for declaration, told in (("var count: u32;", [1, 2, 3, 4]), ("var count = 0u;", [1, 1, 1, 1])):
        loop = f"for (var row = 0u; row < x[0]; row++) {{ {declaration} count += 1u; y[row] = count; }}"
        expect(compute(on, loop, [4], 4, "u32", "u32"), told, f"1 added once per round, {declaration}")
END

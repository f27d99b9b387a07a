#!/bin/sh
# One would guess that the angle of a vector of length zero is 0, as everywhere on CPUs, or at worst
# NaN.
#
# On llvmpipe of Mesa 22.3, Vulkan and OpenGL alike, atan2(0, 0) is 2.356: three quarters of pi. An
# agent that stands still, a goal that is reached, a force that vanishes has a heading of 135
# degrees, an ordinary number that passes every check. WGSL leaves this point open. The same
# function is 3.5e-6 off at 45 degrees, 56 units in the last place. SwiftShader gives 0, and 45
# degrees to the last bit.
#
# Seen on 2026-11-30 with wgpu-py 0.32.0 on Mesa 22.3.6 (LLVM 15.0.6) of Debian 12:
#   atan2 of (0, 0), (0, 1), (1, 1): [2.35619, 0, 0.785395]
. "$(dirname "$0")/lib/prepare.sh"
prepare wgpu==0.32.0 numpy==2.4.6
renderer lavapipe
"$python" - <<'END'
from shader import adapter, evaluate, expect

for backend in ("Vulkan", "OpenGL"):
    seen = evaluate(adapter(backend, "Mesa 22.3"), "atan2(a, b)", [(0, 0), (0, 1), (1, 1)])
    expect(seen, [2.3561912, 0, 0.78539485], "atan2 of (0, 0), (0, 1), (1, 1)")
    assert abs(seen[2] - 0.78539816) > 3e-6
END

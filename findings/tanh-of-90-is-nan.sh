#!/bin/sh
# One would guess that tanh saturates: what goes to 1 cannot be anything else far out.
#
# SwiftShader's is a quotient of exponentials and NaN from 89 on, where both overflow. One large
# pre-activation, as a network has after a step that was too long or on inputs that nobody scaled,
# makes a whole policy NaN, on this renderer alone. Near zero the same quotient is off by 400 units
# in the last place. WGSL gives tanh the accuracy of sinh(x) / cosh(x), which covers both. lavapipe
# clamps its argument and gives 1.
#
# Seen on 2026-11-30 with wgpu-py 0.32.0 on SwiftShader of Debian 12's chromium-common:
#   tanh of 88, 90, -90, 0.001: [1, NaN, NaN, 0.00100005]
. "$(dirname "$0")/lib/prepare.sh"
prepare wgpu==0.32.0 numpy==2.4.6
renderer swiftshader
"$python" - <<'END'
from math import nan
from shader import adapter, evaluate, expect

seen = evaluate(adapter("Vulkan"), "tanh(a)", [(88, 0), (90, 0), (-90, 0), (0.001, 0)])
expect(seen, [1, nan, nan, 0.001000046], "tanh of 88, 90, -90, 0.001")
END

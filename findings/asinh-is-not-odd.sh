#!/bin/sh
# One would guess that asinh(-x) is -asinh(x): an odd function that grows like a logarithm and
# cannot fail.
#
# SwiftShader computes log(x + sqrt(x * x + 1)), and for x = -10000 the sum cancels to zero: it
# gives -88.03 instead of -9.90. The positive side is right. From 1.9e19 on x * x overflows, and
# both sides are +infinity. A symmetric squashing of rewards or forces by asinh treats punishments
# unlike rewards there. WGSL allows it: asinh has no accuracy of its own, but that of this formula.
# llvmpipe takes the absolute value first and is right at -10000, though infinite at 1e20.
#
# Seen on 2026-11-30 with wgpu-py 0.32.0 on SwiftShader of Debian 12's chromium-common:
#   asinh of 10000, -10000, -1e20: [9.90349, -88.0297, inf]
. "$(dirname "$0")/lib/prepare.sh"
prepare wgpu==0.32.0 numpy==2.4.6
renderer swiftshader
"$python" - <<'END'
from math import inf
from shader import adapter, evaluate, expect

seen = evaluate(adapter("Vulkan"), "asinh(a)", [(10000, 0), (-10000, 0), (-1e20, 0)])
expect(seen, [9.903488, -88.02969, inf], "asinh of 10000, -10000, -1e20")
END

#!/bin/sh
# One would guess that a NaN stays one: log(NaN) is NaN, and a loss that went through it is seen to
# be broken.
#
# SwiftShader computes logarithms from the bits of the number, those of NaN and infinity included:
# log(NaN) is 89.13, log(0) is -88.03 and log(-1.5) is log(1.5). exp(NaN) is infinite. A
# cross-entropy or a likelihood that is NaN before its logarithm comes out as a plausible number, so
# that a watch on the loss alone sees nothing in CI. WGSL allows it. The watch belongs in front of
# the logarithm. lavapipe gives NaN, -infinity, NaN and NaN.
#
# Seen on 2026-11-30 with wgpu-py 0.32.0 on SwiftShader of Debian 12's chromium-common:
#   log(NaN), log(0), log(-1.5), exp(NaN): [89.1283, -88.0297, 0.405465, inf]
. "$(dirname "$0")/lib/prepare.sh"
prepare wgpu==0.32.0 numpy==2.4.6
renderer swiftshader
"$python" - <<'END'
from math import inf, nan
from shader import adapter, compute, expect

statements = "y[0] = log(x[0]); y[1] = log(x[1]); y[2] = log(x[2]); y[3] = exp(x[0]);"
seen = compute(adapter("Vulkan"), statements, [nan, 0, -1.5], 4)
expect(seen, [89.12830, -88.02969, 0.4054650, inf], "log(NaN), log(0), log(-1.5), exp(NaN)")
END

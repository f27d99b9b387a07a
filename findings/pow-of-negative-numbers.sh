#!/bin/sh
# One would guess that pow(x, 2) is x * x, and that pow(0, 0) is 1, as in C and in every array
# library.
#
# In WGSL a negative base has no promised power, not even a whole one, and the renderers differ:
# with an exponent that is read from a buffer, llvmpipe of Mesa 22.3 gives NaN for (-2)^2 and 0 for
# 0^0; SwiftShader gives 4 and 1, but 8 for (-2)^3. With the exponent 2 written in the shader both
# give 4, so that a test with constants sees nothing: the fault comes the day the exponent becomes a
# parameter.
#
# Seen on 2026-11-30 with wgpu-py 0.32.0 on Mesa 22.3.6 (LLVM 15.0.6) and SwiftShader, both of
# Debian 12:
#   lavapipe, pow of (-2, 2), (-2, 3), (0, 0), and pow(-2, 2.0) as a constant: [NaN, NaN, 0], [4]
#   SwiftShader: [4, 8, 1], [4]
. "$(dirname "$0")/lib/prepare.sh"
prepare wgpu==0.32.0 numpy==2.4.6
tests='
from math import nan
from shader import adapter, evaluate, expect
import sys

on = adapter("Vulkan")
told = {"lavapipe": [nan, nan, 0], "swiftshader": [4, 8, 1]}[sys.argv[1]]
expect(evaluate(on, "pow(a, b)", [(-2, 2), (-2, 3), (0, 0)]), told, "pow of (-2, 2), (-2, 3), (0, 0)")
expect(evaluate(on, "pow(a, 2.0)", [(-2, 0)]), [4], "pow(-2, 2.0)")
'
for name in lavapipe swiftshader; do (renderer $name && "$python" -c "$tests" $name); done

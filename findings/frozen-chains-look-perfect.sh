#!/bin/sh
# One would guess that the diagnostics of Markov chains cry loudest when no chain ever moves.
#
# Four chains that stay at their common start, as they do when every proposal is refused, have for
# ArviZ an effective sample size of all 4000 draws: "as good as independent". R-hat is NaN, and so
# the usual check `rhat > 1.01` finds nothing. One draw that is infinite, in chains that mix, is no
# matter either: ranks hide it from both numbers. What holds is `not rhat <= 1.01`, and a look at
# infinite draws and at chains of one value before ranks are taken.
#
# Seen on 2026-11-30 with ArviZ 0.23.4, NumPy 2.4.6, Python 3.11:
#   frozen at one place: R-hat nan, effective sample size 4000
#   frozen at four places: R-hat inf, effective sample size 4.03
#   one infinite draw: R-hat 1.0003, effective sample size 3921
. "$(dirname "$0")/lib/prepare.sh"
prepare arviz==0.23.4 numpy==2.4.6
"$python" - <<'END'
import arviz
import numpy as np

random = np.random.default_rng(0)
mixed = random.normal(size=(4, 1000))
infinite = mixed.copy()
infinite[0, 0] = np.inf
seen = {}
for name, draws in {
    "frozen at one place": np.zeros((4, 1000)),
    "frozen at four places": np.repeat(random.normal(size=(4, 1)), 1000, 1),
    "one infinite draw": infinite,
}.items():
    with np.errstate(all="ignore"):
        seen[name] = float(arviz.rhat(draws)), float(arviz.ess(draws))
    print(f"{name}: R-hat {seen[name][0]:.5g}, effective sample size {seen[name][1]:.4g}")
rhat, size = seen["frozen at one place"]
assert np.isnan(rhat) and size == 4000, "changed: frozen chains"
rhat, size = seen["one infinite draw"]
assert rhat < 1.01 and size > 3000, "changed: an infinite draw"
END

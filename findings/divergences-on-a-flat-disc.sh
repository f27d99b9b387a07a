#!/bin/sh
# One would guess that divergent transitions mean what every guide says of them: the draws are
# biased, shorten the step.
#
# For a density that is uniform in a disc and zero outside, BlackJAX's NUTS reports every single
# transition as divergent, and its draws are exact: a trajectory that crosses the wall meets an
# infinite energy, which counts as an integration error, and on a flat floor every trajectory ends
# at the wall. No step size ends that. Beside walls the flag says that a wall was met; whether draws
# are right must be seen elsewhere. Divergence and refusal at a wall are two numbers.
#
# Seen on 2026-12-01 with BlackJAX 1.7.1, JAX 0.10.2, Python 3.11, 20000 transitions:
#   step 0.3: 100 % divergent, mean radius 0.665; step 0.03: 100 % divergent, 0.668 (exact: 0.667)
. "$(dirname "$0")/lib/prepare.sh"
prepare blackjax==1.7.1 jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6
JAX_PLATFORMS=cpu "$python" - <<'END'
import blackjax
import jax
import jax.numpy as jnp

def log_density(q):
    return jnp.where(jnp.sum(q**2) < 1, 0.0, -jnp.inf)

for step_size in (0.3, 0.03):
    kernel = blackjax.nuts(log_density, step_size=step_size, inverse_mass_matrix=jnp.ones(2))

    def transition(state, key):
        state, told = kernel.step(key, state)
        return state, (jnp.linalg.norm(state.position), told.is_divergent)

    keys = jax.random.split(jax.random.key(0), 20_000)
    _, (radius, divergent) = jax.lax.scan(transition, kernel.init(jnp.array([0.1, 0.2])), keys)
    print(f"step {step_size}: {100 * divergent.mean():.0f} % divergent, mean radius {radius.mean():.3f}")
    assert divergent.mean() > 0.99, "changed: divergent transitions"
    assert abs(radius.mean() - 2 / 3) < 0.01, "changed: the draws"
END

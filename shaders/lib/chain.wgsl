// What a Metropolis chain remembers between steps: one row per chain, its gradient behind six numbers.
//
//   row = [energy | kinetic energy at the start of the trajectory | step size of it | 1 if its end is outside the box
//          | accepted trajectories | last acceptance probability | dE/dy of the current point (dims)]

const CHAIN_ENERGY: u32 = 0u;
const CHAIN_KINETIC: u32 = 1u;
const CHAIN_STEP: u32 = 2u;
const CHAIN_OUTSIDE: u32 = 3u;
const CHAIN_ACCEPTED: u32 = 4u;
const CHAIN_CHANCE: u32 = 5u;
const CHAIN_GRADIENT: u32 = 6u;

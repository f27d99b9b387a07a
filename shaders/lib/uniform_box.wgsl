// The density of the uniform distribution in a box.

// log q outside the box: finite, and lower than any density inside.
// Shared with the host.
const OUTSIDE_LOG_DENSITY: f32 = -1.0e30;

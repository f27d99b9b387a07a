//! Densities of points on a curve with Gaussian noise, by Gauss-Legendre quadrature over the
//! curve's parameter.

use std::f64::consts::TAU;

/// Nodes and weights of the 8-point Gauss-Legendre rule on [-1, 1], positive half.
pub(in crate::tasks) const GAUSS: [(f64, f64); 4] = [
    (0.183_434_642_495_649_8, 0.362_683_783_378_362),
    (0.525_532_409_916_329, 0.313_706_645_877_887_3),
    (0.796_666_477_413_626_7, 0.222_381_034_453_374_5),
    (0.960_289_856_497_536_3, 0.101_228_536_290_376_3),
];

/// Nodes further than this many nats below the nearest one are left out of the sum.
const NEGLIGIBLE: f64 = 40.0;

/// Points `c(n)`, distributed over `n` by a density, plus noise `std N(0, I)`.
#[derive(Clone, Debug)]
pub(super) struct BlurredCurve {
    std: f64,
    panels: Vec<Panel>,
}

/// A stretch of a curve with its nodes.
#[derive(Clone, Copy, Debug)]
pub(in crate::tasks) struct Panel {
    pub middle: [f64; 2],
    pub nodes: [Node; 8],
}

/// A point of the curve with its share of the mass.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::tasks) struct Node {
    pub point: [f64; 2],
    pub weight: f64,
}

impl Panel {
    /// The stretch from parameter `from` to `to`; `mass(n, w)` is the weight of a node at `n` whose
    /// quadrature weight is `w`.
    pub fn new(from: f64, to: f64, curve: impl Fn(f64) -> [f64; 2], mass: impl Fn(f64, f64) -> f64) -> Self {
        let (middle, half) = (0.5 * (from + to), 0.5 * (to - from));
        let mut nodes = [Node::default(); 8];
        for (pair, (place, weight)) in nodes.chunks_exact_mut(2).zip(GAUSS) {
            for (node, side) in pair.iter_mut().zip([-1.0, 1.0]) {
                let n = middle + side * half * place;
                *node = Node { point: curve(n), weight: mass(n, weight * half) };
            }
        }
        Self { middle: curve(middle), nodes }
    }
}

impl BlurredCurve {
    /// The curve made of panels, each not longer than twice the noise's deviation.
    pub fn new(std: f64, panels: Vec<Panel>) -> Self {
        Self { std, panels }
    }

    /// `log p(y)` in nats.
    pub fn log_density(&self, y: [f64; 2]) -> f64 {
        let scale = 0.5 / (self.std * self.std);
        let (nearest, nodes) = nodes_near(&self.panels, y, self.std, scale);
        let sum: f64 = nodes
            .map(|node| {
                let excess = squared_distance(node.point, y) - nearest * nearest;
                node.weight * (-scale * excess).exp()
            })
            .sum();
        sum.ln() - scale * nearest * nearest - (TAU * self.std * self.std).ln()
    }
}

/// The distance of the nearest panel's middle, and all nodes that matter to the noise
/// `exp(-scale d^2)` at `y`. A panel's contributions lie within `slack` of its middle.
pub(super) fn nodes_near(
    panels: &[Panel],
    y: [f64; 2],
    slack: f64,
    scale: f64,
) -> (f64, impl Iterator<Item = &Node> + Clone) {
    let nearest =
        panels.iter().map(|panel| squared_distance(panel.middle, y)).fold(f64::INFINITY, f64::min).sqrt();
    let reach = (f64::powi(nearest + slack, 2) + NEGLIGIBLE / scale).sqrt() + slack;
    let nodes = panels
        .iter()
        .filter(move |panel| squared_distance(panel.middle, y) <= reach * reach)
        .flat_map(|panel| &panel.nodes);
    (nearest, nodes)
}

pub(super) fn squared_distance(a: [f64; 2], b: [f64; 2]) -> f64 {
    let (dx, dy) = (a[0] - b[0], a[1] - b[1]);
    dx * dx + dy * dy
}

//! Pictures of one colored shape each, and energies that want a hue: a stand-in for the color
//! experiment of arXiv 2304.12824.
//!
//! A picture is a disc, a square or a triangle of one saturated color on a gray ground, 16 by 16
//! pixels with red, green and blue behind one another, values from -1 (none) to 1 (full). Hues are
//! counted in turns: 0 is red, 1/3 green, 2/3 blue.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};

/// Pixels along a side.
pub const SIDE: usize = 16;
/// Numbers per pixel.
pub const CHANNELS: usize = 3;
/// Numbers per picture, `[SIDE, SIDE, CHANNELS]` from the top left.
pub const DIMS: usize = SIDE * SIDE * CHANNELS;
/// The least difference between the largest and the smallest channel of a picture's mean color, of
/// 1, for it to have a hue. Drawn pictures have more than three times as much.
pub const COLORLESS: f64 = 0.02;
/// The largest energy: half a turn.
pub const HIGHEST_ENERGY: f64 = 0.5;

/// Points per pixel and direction at which shapes are sampled.
const FINE: usize = 4;

/// What is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shape {
    /// Of the radius.
    Disc,
    /// Upright, half its side 0.85 of the radius.
    Square,
    /// Standing on its base, apex one radius above the center, base 0.8 below.
    Triangle,
}

/// How a picture is made; lengths in pixels from its middle, to the right and down.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sketch {
    /// What is drawn.
    pub shape: Shape,
    /// Where its center lies.
    pub center: [f64; 2],
    /// Its size.
    pub radius: f64,
    /// Its hue in turns, 0 to 1.
    pub hue: f64,
    /// Its saturation, 0 to 1.
    pub saturation: f64,
    /// Its value, 0 to 1.
    pub value: f64,
    /// The ground's brightness, 0 to 1.
    pub ground: f64,
}

impl Sketch {
    /// Draws a sketch: radius 4 to 6, all of it within the picture, any hue, saturation and value
    /// 0.8 to 1, ground 0 to 0.4.
    fn draw(rng: &mut Xoshiro256PlusPlus) -> Self {
        let shape = [Shape::Disc, Shape::Square, Shape::Triangle][rng.random_range(0..3)];
        let radius = 4.0 + 2.0 * rng.random::<f64>();
        let room = 0.5 * SIDE as f64 - radius;
        let mut place = || room * (2.0 * rng.random::<f64>() - 1.0);
        let center = [place(), place()];
        Self {
            shape,
            center,
            radius,
            hue: rng.random(),
            saturation: 0.8 + 0.2 * rng.random::<f64>(),
            value: 0.8 + 0.2 * rng.random::<f64>(),
            ground: 0.4 * rng.random::<f64>(),
        }
    }

    /// Whether a point, seen from the center, belongs to the shape.
    fn covers(&self, x: f64, y: f64) -> bool {
        let r = self.radius;
        match self.shape {
            Shape::Disc => x * x + y * y < r * r,
            Shape::Square => x.abs().max(y.abs()) < 0.85 * r,
            // Sides from the apex (0, -r) to (0.95 r, 0.8 r) and its mirror image.
            Shape::Triangle => y < 0.8 * r && x.abs() * 1.8 < 0.95 * (y + r),
        }
    }

    /// The picture, its edges smoothed by 16 points per pixel.
    pub fn picture(&self) -> Vec<f32> {
        let color = rgb_of_hsv(self.hue, self.saturation, self.value);
        let mut picture = Vec::with_capacity(DIMS);
        let place = |index: usize| (index as f64 + 0.5) / FINE as f64 - 0.5 * SIDE as f64;
        for pixel in 0..SIDE * SIDE {
            let (left, top) = (pixel % SIDE * FINE, pixel / SIDE * FINE);
            let inside = (0..FINE * FINE)
                .filter(|at| {
                    let (x, y) = (place(left + at % FINE), place(top + at / FINE));
                    self.covers(x - self.center[0], y - self.center[1])
                })
                .count();
            let share = inside as f64 / (FINE * FINE) as f64;
            let mix = |channel: f64| 2.0 * (self.ground + share * (channel - self.ground)) - 1.0;
            picture.extend(color.map(|channel| mix(channel) as f32));
        }
        picture
    }
}

/// `count` sketches; their pictures are the data. Equal seeds give equal sketches.
pub fn draw(count: usize, seed: u64) -> Vec<Sketch> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    (0..count).map(|_| Sketch::draw(&mut rng)).collect()
}

/// Red, green and blue, 0 to 1, of a hue in turns, a saturation and a value.
pub fn rgb_of_hsv(hue: f64, saturation: f64, value: f64) -> [f64; 3] {
    // Each channel is full within a sixth of a turn of its own hue, and gone beyond a third.
    [0.0, 1.0 / 3.0, 2.0 / 3.0].map(|own| {
        let share = (2.0 - 6.0 * hue_distance(hue, own)).clamp(0.0, 1.0);
        value * (1.0 - saturation * (1.0 - share))
    })
}

/// The hue of a color in turns, 0 to 1, if its channels are finite and differ at all.
pub fn hue_of_rgb([red, green, blue]: [f64; 3]) -> Option<f64> {
    let highest = red.max(green).max(blue);
    let chroma = highest - red.min(green).min(blue);
    // `max` and `min` pass over NaN, the sum does not.
    if !(red + green + blue).is_finite() || chroma <= 0.0 {
        return None;
    }
    let sixths = if highest == red {
        (green - blue) / chroma
    } else if highest == green {
        2.0 + (blue - red) / chroma
    } else {
        4.0 + (red - green) / chroma
    };
    Some((sixths / 6.0).rem_euclid(1.0))
}

/// Distance of two hues along the circle, 0 to 0.5 turns.
pub fn hue_distance(a: f64, b: f64) -> f64 {
    let apart = (a - b).rem_euclid(1.0);
    apart.min(1.0 - apart)
}

/// The hue of a picture: that of its mean color, to which gray pixels add nothing and others as
/// much as they are colored. None for a picture with less color than [`COLORLESS`], with a value
/// that is not finite, or of the wrong size.
pub fn hue_of(picture: &[f32]) -> Option<f64> {
    if picture.len() != DIMS {
        return None;
    }
    let mut mean = [0.0; CHANNELS];
    for pixel in picture.chunks_exact(CHANNELS) {
        for (sum, value) in mean.iter_mut().zip(pixel) {
            *sum += 0.5 * (f64::from(*value) + 1.0) / (SIDE * SIDE) as f64;
        }
    }
    let highest = mean.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let lowest = mean.iter().copied().fold(f64::INFINITY, f64::min);
    hue_of_rgb(mean).filter(|_| highest - lowest >= COLORLESS)
}

/// The energy of a picture that is wanted in a hue: how far its own hue lies from that, in turns;
/// [`HIGHEST_ENERGY`] for a picture without a hue.
pub fn energy(picture: &[f32], hue: f64) -> f64 {
    hue_of(picture).map_or(HIGHEST_ENERGY, |own| hue_distance(own, hue))
}

/// The share of pictures within `tolerance` of the wanted hue among draws from `exp(-beta E)` times
/// the data, whose hues are uniform: what exact guidance reaches. At `beta` 0 it is that of the
/// data.
pub fn exact_share(beta: f64, tolerance: f64) -> f64 {
    let tolerance = tolerance.clamp(0.0, HIGHEST_ENERGY);
    match beta {
        0.0 => tolerance / HIGHEST_ENERGY,
        beta => (-beta * tolerance).exp_m1() / (-beta * HIGHEST_ENERGY).exp_m1(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hue_of_a_drawn_picture_is_the_one_it_was_drawn_with() {
        for sketch in draw(500, 3) {
            let picture = sketch.picture();
            assert_eq!(picture.len(), DIMS);
            assert!(picture.iter().all(|v| (-1.0..=1.0).contains(v)));
            let hue = hue_of(&picture).expect("a colored picture");
            assert!(hue_distance(hue, sketch.hue) < 1e-5, "{sketch:?}: {hue}");
            for wanted in [0.0, 0.3, 5.0 / 6.0] {
                let expected = hue_distance(sketch.hue, wanted);
                assert!((energy(&picture, wanted) - expected).abs() < 1e-5, "{sketch:?}");
                assert!((0.0..=HIGHEST_ENERGY).contains(&expected));
            }
        }
    }

    #[test]
    fn hues_of_colors_are_the_usual_ones() {
        let known = [
            (0.0, [1.0, 0.0, 0.0]),
            (1.0 / 12.0, [1.0, 0.5, 0.0]),
            (1.0 / 6.0, [1.0, 1.0, 0.0]),
            (1.0 / 3.0, [0.0, 1.0, 0.0]),
            (0.5, [0.0, 1.0, 1.0]),
            (2.0 / 3.0, [0.0, 0.0, 1.0]),
            (11.0 / 12.0, [1.0, 0.0, 0.5]),
        ];
        for (hue, color) in known {
            for (found, channel) in rgb_of_hsv(hue, 1.0, 1.0).into_iter().zip(color) {
                assert!((found - channel).abs() < 1e-12, "{hue}");
            }
            assert!(hue_distance(hue_of_rgb(color).expect("a color"), hue) < 1e-12);
            let pale = rgb_of_hsv(hue, 0.25, 0.5);
            assert!((pale.iter().copied().fold(0.0, f64::max) - 0.5).abs() < 1e-12);
            assert!((pale.iter().copied().fold(1.0, f64::min) - 0.375).abs() < 1e-12);
            assert!(hue_distance(hue_of_rgb(pale).expect("a color"), hue) < 1e-12);
        }
        assert_eq!(hue_of_rgb([0.4; 3]), None);
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            for channel in 0..3 {
                let mut color = [0.9, 0.1, 0.5];
                color[channel] = bad;
                assert_eq!(hue_of_rgb(color), None, "{color:?}");
            }
        }
        assert!((hue_distance(0.95, 0.05) - 0.1).abs() < 1e-12);
    }

    #[test]
    fn pictures_without_color_have_no_hue_and_the_highest_energy() {
        let faint = Sketch { saturation: 0.05, ..draw(1, 1)[0] }.picture();
        let mut spoiled = draw(1, 1)[0].picture();
        spoiled[CHANNELS + 1] = f32::NAN;
        for picture in [vec![0.1; DIMS], vec![f32::NAN; DIMS], spoiled, vec![0.5; 7], faint] {
            assert_eq!(hue_of(&picture), None);
            assert_eq!(energy(&picture, 0.2), HIGHEST_ENERGY);
        }
    }

    #[test]
    fn drawn_pictures_are_far_from_colorless() {
        for sketch in draw(2000, 4) {
            let picture = sketch.picture();
            let mean = |channel: usize| {
                let sum: f32 = picture[channel..].iter().step_by(CHANNELS).sum();
                f64::from(0.5 * sum / (SIDE * SIDE) as f32)
            };
            let means = [0, 1, 2].map(mean);
            let highest = means.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let lowest = means.iter().copied().fold(f64::INFINITY, f64::min);
            assert!(highest - lowest > 3.0 * COLORLESS, "{sketch:?}: {means:?}");
        }
    }

    #[test]
    fn equal_seeds_draw_equal_pictures_of_every_shape() {
        let sketches = draw(100, 7);
        assert_eq!(sketches, draw(100, 7));
        assert_ne!(sketches, draw(100, 8));
        for shape in [Shape::Disc, Shape::Square, Shape::Triangle] {
            assert!(sketches.iter().filter(|sketch| sketch.shape == shape).count() > 15);
        }
    }

    #[test]
    fn areas_are_those_of_the_shapes() {
        for (shape, area) in
            [(Shape::Disc, std::f64::consts::PI), (Shape::Square, 1.7 * 1.7), (Shape::Triangle, 0.95 * 1.8)]
        {
            let sketch = Sketch {
                shape,
                center: [0.3, -0.4],
                radius: 5.0,
                hue: 0.0,
                saturation: 1.0,
                value: 1.0,
                ground: 0.0,
            };
            let red: f32 = sketch.picture().iter().step_by(CHANNELS).map(|v| 0.5 * (v + 1.0)).sum();
            assert!((f64::from(red) / 25.0 - area).abs() < 0.05, "{shape:?}: {red}");
        }
    }

    #[test]
    fn the_exact_share_is_that_of_weighted_data() {
        for (beta, tolerance) in [(0.0, 1.0 / 12.0), (10.0, 1.0 / 12.0), (30.0, 0.05), (3.0, 0.5)] {
            // Distances are uniform over 0 to 0.5.
            let (mut inside, mut all) = (0.0, 0.0);
            for step in 0..100_000 {
                let distance = (f64::from(step) + 0.5) / 200_000.0;
                let weight = (-beta * distance).exp();
                all += weight;
                inside += if distance < tolerance { weight } else { 0.0 };
            }
            assert!((exact_share(beta, tolerance) - inside / all).abs() < 1e-4, "{beta} {tolerance}");
        }
    }
}

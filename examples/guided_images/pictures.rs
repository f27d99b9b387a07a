//! The sheet of pictures: data, samples without guidance, samples of each hue.

use std::path::Path;

use gibbs::tasks::colored_shapes::{CHANNELS, DIMS, SIDE, rgb_of_hsv};
use plotters::style::RGBColor;

use super::common::arguments::Outcome;
use super::common::pictures::{Panel, Row, sheet};
use super::measure::Samples;

/// Pictures per row, and how often their pixels are repeated.
const COLUMNS: usize = 12;
const ZOOM: u32 = 4;

/// Writes the sheet; behind a hue that was asked for stands its color.
pub fn draw(path: &Path, targets: impl Iterator<Item = f64>, samples: &Samples) -> Outcome {
    let row = |label: String, wanted: Option<RGBColor>, pictures: &[f32]| {
        let wanted = wanted.map(|color| Panel { pixels: vec![color], note: String::new() });
        let pictures = pictures.chunks_exact(DIMS).take(COLUMNS).map(|picture| Some(panel(picture)));
        Row { label, panels: [wanted].into_iter().chain(pictures).collect() }
    };
    let mut rows = vec![
        row("data".into(), None, &samples.data),
        row("samples,\nunguided".into(), None, &samples.unguided),
    ];
    for (hue, pictures) in targets.zip(&samples.guided) {
        let [red, green, blue] = rgb_of_hsv(hue, 1.0, 1.0).map(|channel| (255.0 * channel) as u8);
        let label = format!("guided to\n{:.0} degrees", 360.0 * hue);
        rows.push(row(label, Some(RGBColor(red, green, blue)), pictures));
    }
    sheet(path, ZOOM * SIDE as u32, &[], &rows)
}

fn panel(picture: &[f32]) -> Panel {
    let byte = |value: f32| (127.5 * (value.clamp(-1.0, 1.0) + 1.0)).round() as u8;
    let pixels = picture.chunks_exact(CHANNELS).map(|c| RGBColor(byte(c[0]), byte(c[1]), byte(c[2])));
    Panel { pixels: pixels.collect(), note: String::new() }
}

//! The sheet of pictures: data, samples without guidance, samples of each hue.

use std::path::Path;

use gibbs::tasks::coloured_shapes::{CHANNELS, DIMS, SIDE, rgb_of_hsv};
use plotters::prelude::*;

use super::Outcome;
use super::measure::Samples;
use super::palette::fonts;

/// Pictures per row, and how often their pixels are repeated.
const COLUMNS: usize = 12;
const ZOOM: u32 = 4;
const GAP: u32 = 4;
const LEFT: u32 = 132;

/// Writes the sheet.
pub fn draw(path: &Path, targets: &[f64], samples: &Samples) -> Outcome<()> {
    fonts();
    let mut rows = vec![
        ("data".to_owned(), None, &samples.data),
        ("samples,\nunguided".to_owned(), None, &samples.unguided),
    ];
    for (hue, pictures) in targets.iter().zip(&samples.guided) {
        rows.push((format!("guided to\n{:.0} degrees", 360.0 * hue), Some(*hue), pictures));
    }
    let cell = ZOOM * SIDE as u32 + GAP;
    let size = (LEFT + COLUMNS as u32 * cell, rows.len() as u32 * cell + GAP);
    let root = BitMapBackend::new(path, size).into_drawing_area();
    root.fill(&WHITE)?;
    let style = ("sans-serif", 16).into_font().into_text_style(&root);
    for (index, (label, hue, pictures)) in rows.iter().enumerate() {
        let top = GAP + index as u32 * cell;
        for (line, words) in label.split('\n').enumerate() {
            root.draw_text(words, &style, (34, (top + cell / 2 - 20 + 18 * line as u32) as i32))?;
        }
        if let Some(hue) = hue {
            let [red, green, blue] = rgb_of_hsv(*hue, 1.0, 1.0).map(|channel| (255.0 * channel) as u8);
            let middle = (top + cell / 2 - GAP) as i32;
            let swatch =
                Rectangle::new([(8, middle - 10), (28, middle + 10)], RGBColor(red, green, blue).filled());
            root.draw(&swatch)?;
        }
        for (column, picture) in pictures.chunks_exact(DIMS).take(COLUMNS).enumerate() {
            let left = LEFT + column as u32 * cell;
            for y in 0..ZOOM * SIDE as u32 {
                for x in 0..ZOOM * SIDE as u32 {
                    let at = ((y / ZOOM) as usize * SIDE + (x / ZOOM) as usize) * CHANNELS;
                    let byte = |value: f32| (127.5 * (value.clamp(-1.0, 1.0) + 1.0)).round() as u8;
                    let colour = RGBColor(byte(picture[at]), byte(picture[at + 1]), byte(picture[at + 2]));
                    root.draw_pixel(((left + x) as i32, (top + y) as i32), &colour)?;
                }
            }
        }
    }
    root.present()?;
    println!("picture: {}", path.display());
    Ok(())
}

//! Sheets of square panels with titles: densities, fields and pictures side by side.

use std::path::Path;

use plotters::prelude::*;
use plotters::style::register_font;

use super::arguments::Outcome;

const MARGIN: u32 = 8;
const LEFT: u32 = 118;

/// Makes the fonts known.
pub fn fonts() {
    // Registering again is harmless; an error would only cost the captions, which drawing reports.
    let _ = register_font("sans-serif", FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT);
}

/// Dark blue to yellow, monotone in lightness.
fn color(value: f64) -> RGBColor {
    const STOPS: [u32; 6] = [0x0d_08_23, 0x3c_0f_6e, 0x8c_28_73, 0xd7_4b_46, 0xfa_96_28, 0xfc_f5_a5];
    let place = value.clamp(0.0, 1.0) * (STOPS.len() - 1) as f64;
    let low = (place as usize).min(STOPS.len() - 2);
    let share = place - low as f64;
    let mix = |shift: u32| {
        let at = |stop: usize| f64::from((STOPS[stop] >> shift) & 0xff);
        (at(low) * (1.0 - share) + at(low + 1) * share) as u8
    };
    RGBColor(mix(16), mix(8), mix(0))
}

/// One square picture.
#[derive(Clone, Debug)]
pub struct Panel {
    /// `[side, side]`, the uppermost row first.
    pub pixels: Vec<RGBColor>,
    /// A line above it, where the sheet's columns have no title of their own.
    pub note: String,
}

impl Panel {
    /// Values `[side, side]`, columns along the first coordinate and rows along the second, both
    /// ascending; 0 is dark, 1 bright.
    pub fn field(values: impl IntoIterator<Item = f64>) -> Self {
        let colors: Vec<RGBColor> = values.into_iter().map(color).collect();
        // Pictures grow downwards, the second coordinate upwards.
        let pixels = colors.chunks(colors.len().isqrt().max(1)).rev().flatten().copied().collect();
        Self { pixels, note: String::new() }
    }

    /// The root of a density, against the scale of another's peak.
    pub fn heat(values: &[f64], peak: f64) -> Self {
        Self::field(values.iter().map(|value| (value / peak).sqrt()))
    }
}

/// The largest value of a density.
pub fn peak(values: &[f64]) -> f64 {
    // Densities of any unit, above 0 to divide by.
    values.iter().copied().fold(f64::MIN_POSITIVE, f64::max)
}

/// A row of a sheet.
#[derive(Clone, Debug)]
pub struct Row {
    /// Words at its left.
    pub label: String,
    /// Its panels; none is left white.
    pub panels: Vec<Option<Panel>>,
}

/// Writes a picture.
pub fn present(root: &DrawingArea<BitMapBackend<'_>, plotters::coord::Shift>, path: &Path) -> Outcome {
    Ok(root.present().map_err(|error| format!("write {}: {error}", path.display()))?)
}

/// Draws the rows under the titles of their columns, in panels of `size` pixels along a side.
pub fn sheet(path: &Path, size: u32, titles: &[String], rows: &[Row]) -> Outcome {
    fonts();
    let noted = rows.iter().flat_map(|row| row.panels.iter().flatten()).any(|panel| !panel.note.is_empty());
    let note = if noted { 18 } else { 0 };
    let head = if titles.is_empty() { MARGIN } else { 36 };
    let (width, height) = (size + MARGIN, size + MARGIN + note);
    let columns = rows.iter().map(|row| row.panels.len()).max().unwrap_or(0).max(titles.len()) as u32;
    let whole = (LEFT + columns * width, head + rows.len() as u32 * height);
    let root = BitMapBackend::new(path, whole).into_drawing_area();
    root.fill(&WHITE)?;
    let style = ("sans-serif", 18).into_font().into_text_style(&root);
    let small = ("sans-serif", 14).into_font().into_text_style(&root);
    for (column, title) in titles.iter().enumerate() {
        root.draw_text(title, &style, ((LEFT + column as u32 * width + 4) as i32, 10))?;
    }
    for (index, row) in rows.iter().enumerate() {
        let top = head + index as u32 * height + note;
        for (line, words) in row.label.split('\n').enumerate() {
            root.draw_text(words, &small, (6, (top + size / 2 + 18 * line as u32) as i32 - 18))?;
        }
        for (column, panel) in row.panels.iter().enumerate() {
            let Some(panel) = panel else { continue };
            let left = LEFT + column as u32 * width;
            root.draw_text(&panel.note, &small, (left as i32 + 2, top as i32 - 16))?;
            let side = panel.pixels.len().isqrt();
            let at = |pixel: u32| pixel as usize * side / size as usize;
            for (y, x) in (0..size).flat_map(|y| (0..size).map(move |x| (y, x))) {
                let color = panel.pixels[at(y) * side + at(x)];
                root.draw_pixel(((left + x) as i32, (top + y) as i32), &color)?;
            }
        }
    }
    present(&root, path)?;
    println!("picture: {}", path.display());
    Ok(())
}

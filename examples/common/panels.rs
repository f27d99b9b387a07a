//! Sheets of square panels with titles: densities and fields side by side.

use std::path::Path;

use plotters::prelude::*;

use super::palette::{colour, fonts};

pub type Outcome = Result<(), Box<dyn std::error::Error>>;

const PANEL: u32 = 200;
const MARGIN: u32 = 8;
const LEFT: u32 = 118;
const TOP: u32 = 36;

/// One square picture.
#[derive(Clone, Debug)]
pub struct Panel {
    /// `[side, side]`, columns along the first coordinate and rows along the second, both ascending; 0 is dark, 1 bright.
    pub values: Vec<f64>,
    /// A line above it, where the sheet's columns have no title of their own.
    pub note: String,
}

/// A row of a sheet.
#[derive(Clone, Debug)]
pub struct Row {
    /// Words at its left.
    pub label: String,
    /// Its panels; none is left white.
    pub panels: Vec<Option<Panel>>,
}

/// Draws the rows under the titles of their columns.
pub fn sheet(path: &Path, titles: &[&str], rows: &[Row]) -> Outcome {
    fonts();
    let note = if rows.iter().flat_map(|row| row.panels.iter().flatten()).any(|p| !p.note.is_empty()) {
        18
    } else {
        0
    };
    let height = PANEL + MARGIN + note;
    let columns = rows.iter().map(|row| row.panels.len()).max().unwrap_or(0).max(titles.len()) as u32;
    let size = (LEFT + columns * (PANEL + MARGIN), TOP + rows.len() as u32 * height);
    let root = BitMapBackend::new(path, size).into_drawing_area();
    root.fill(&WHITE)?;
    let style = ("sans-serif", 18).into_font().into_text_style(&root);
    let small = ("sans-serif", 14).into_font().into_text_style(&root);
    for (column, title) in titles.iter().enumerate() {
        let x = LEFT + column as u32 * (PANEL + MARGIN) + 4;
        root.draw_text(title, &style, (x as i32, 10))?;
    }
    for (index, row) in rows.iter().enumerate() {
        let top = TOP + index as u32 * height + note;
        for (line, words) in row.label.split('\n').enumerate() {
            root.draw_text(words, &small, (6, (top + PANEL / 2 - 18 + 18 * line as u32) as i32))?;
        }
        for (column, panel) in row.panels.iter().enumerate() {
            let Some(panel) = panel else { continue };
            let left = LEFT + column as u32 * (PANEL + MARGIN);
            root.draw_text(&panel.note, &small, (left as i32 + 2, top as i32 - 16))?;
            let side = panel.values.len().isqrt();
            for py in 0..PANEL {
                for px in 0..PANEL {
                    let at = |pixel: u32| (pixel as usize * side) / PANEL as usize;
                    // Pictures grow downwards, the second coordinate upwards.
                    let value = panel.values[(side - 1 - at(py)) * side + at(px)];
                    root.draw_pixel(((left + px) as i32, (top + py) as i32), &colour(value))?;
                }
            }
        }
    }
    root.present()?;
    Ok(())
}

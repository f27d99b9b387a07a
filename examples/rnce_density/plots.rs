//! Pictures: densities side by side, and the losses over the run.

use std::path::Path;

use gibbs::train::StepRecord;
use plotters::prelude::*;

use super::evaluate::{BINS, Measures};
use super::palette::{colour, fonts};
use super::target::Target;

/// Title, value and colour of one curve.
type Curve = (&'static str, fn(&StepRecord) -> Option<f32>, RGBColor);
type Outcome = Result<(), Box<dyn std::error::Error>>;

const PANEL: u32 = 240;
const MARGIN: u32 = 8;
const LEFT: u32 = 96;
const TOP: u32 = 40;

/// True density or data, learned density, proposal and chains, one row per context. Nothing for actions that are no points of
/// a plane.
pub fn densities(path: &Path, target: &Target, result: &Measures) -> Outcome {
    let Some(first) = result.panels.first() else { return Ok(()) };
    fonts();
    let known = if target.source.density().is_some() { "truth" } else { "data" };
    let titled = |title: &str, value: Option<f64>| match value {
        Some(value) => format!("{title}, {value:.4}"),
        None => title.to_owned(),
    };
    let mut titles = vec![
        titled("learned", result.bhattacharyya),
        titled("proposal", result.proposal),
        titled("Langevin chains", result.langevin),
    ];
    if first.truth.is_some() {
        titles.insert(0, known.to_owned());
    }
    let rows = result.panels.len() as u32;
    let size = (LEFT + titles.len() as u32 * (PANEL + MARGIN), TOP + rows * (PANEL + MARGIN));
    let root = BitMapBackend::new(path, size).into_drawing_area();
    root.fill(&WHITE)?;
    let font = ("sans-serif", 19).into_font();
    for (column, title) in titles.iter().enumerate() {
        let x = LEFT + column as u32 * (PANEL + MARGIN) + 4;
        root.draw_text(title, &font.clone().into_text_style(&root), (x as i32, 12))?;
    }
    for (row, panel) in result.panels.iter().enumerate() {
        let top = TOP + row as u32 * (PANEL + MARGIN);
        let style = font.clone().into_text_style(&root);
        root.draw_text(&panel.label, &style, (6, (top + PANEL / 2 - 10) as i32))?;
        // One scale per context, so that the columns can be compared.
        let peak = panel.truth.as_ref().unwrap_or(&panel.learned).iter().copied().fold(0.0, f64::max);
        let columns = panel.truth.iter().chain([&panel.learned, &panel.proposal, &panel.chains]);
        for (column, values) in columns.enumerate() {
            let side = if values.len() == BINS * BINS { BINS } else { target.cells };
            let left = LEFT + column as u32 * (PANEL + MARGIN);
            for py in 0..PANEL {
                for px in 0..PANEL {
                    let at = |pixel: u32| (pixel as usize * side) / PANEL as usize;
                    // Pictures grow downwards, the second coordinate upwards.
                    let value = values[(side - 1 - at(py)) * side + at(px)];
                    let shade = colour((value / peak).sqrt());
                    root.draw_pixel(((left + px) as i32, (top + py) as i32), &shade)?;
                }
            }
        }
    }
    root.present()?;
    Ok(())
}

/// Losses and effective sample size over the steps, smoothed over 25 steps.
pub fn losses(path: &Path, records: &[StepRecord]) -> Outcome {
    fonts();
    let root = BitMapBackend::new(path, (960, 720)).into_drawing_area();
    root.fill(&WHITE)?;
    let curves: [Curve; 3] = [
        ("energy loss (nats)", |r| r.energy_loss, RGBColor(190, 60, 60)),
        ("proposal loss (nats)", |r| r.proposal_loss, RGBColor(50, 90, 170)),
        ("effective sample size", |r| r.ess, RGBColor(40, 130, 70)),
    ];
    for (area, (title, value, shade)) in root.split_evenly((3, 1)).iter().zip(curves) {
        let points: Vec<(f64, f64)> = records
            .chunks(25)
            .filter_map(|chunk| {
                let values: Vec<f64> = chunk.iter().filter_map(value).map(f64::from).collect();
                let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
                (!values.is_empty()).then(|| (chunk[0].step as f64, mean))
            })
            .collect();
        let Some(&(last, _)) = points.last() else { continue };
        let low = points.iter().map(|p| p.1).fold(f64::INFINITY, f64::min);
        let high = points.iter().map(|p| p.1).fold(f64::NEG_INFINITY, f64::max);
        let pad = 0.05 * (high - low).max(1e-6);
        let mut chart = ChartBuilder::on(area)
            .margin(8)
            .caption(title, ("sans-serif", 18))
            .x_label_area_size(40)
            .y_label_area_size(56)
            .build_cartesian_2d(points[0].0..last.max(points[0].0 + 1.0), low - pad..high + pad)?;
        chart
            .configure_mesh()
            .label_style(("sans-serif", 14))
            .x_desc("step")
            .x_label_formatter(&|step| format!("{step:.0}"))
            .max_light_lines(0)
            .bold_line_style(RGBColor(225, 225, 225))
            .draw()?;
        chart.draw_series(LineSeries::new(points, shade.stroke_width(2)))?;
    }
    root.present()?;
    Ok(())
}

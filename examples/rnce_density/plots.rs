//! Pictures: densities side by side, and the losses over the run.

use std::path::Path;

use gibbs::train::StepRecord;
use plotters::prelude::*;

use super::common::arguments::Outcome;
use super::common::pictures::{fonts, present, sheet};
use super::evaluate::Measures;
use super::target::Target;

/// Pixels along the side of a panel.
const SIZE: u32 = 240;

/// True density or data, learned density, proposal and chains, one row per context. Nothing for
/// actions that are no points of a plane.
pub fn densities(path: &Path, target: &Target, result: &Measures) -> Outcome {
    let Some(first) = result.rows.first() else { return Ok(()) };
    let known = if target.exact.is_some() { "truth" } else { "data" };
    let values = [None, result.bhattacharyya, result.proposal, result.langevin].into_iter();
    let names = [known, "learned", "proposal", "Langevin chains"].into_iter();
    let title = |(name, value): (&str, Option<f64>)| match value {
        Some(value) => format!("{name}, {value:.4}"),
        None => name.to_owned(),
    };
    let titles: Vec<String> = names.zip(values).map(title).collect();
    sheet(path, SIZE, &titles[titles.len() - first.panels.len()..], &result.rows)
}

/// Losses and effective sample size over the steps, smoothed over 25 steps.
pub fn losses(path: &Path, records: &[StepRecord]) -> Outcome {
    fonts();
    let root = BitMapBackend::new(path, (960, 720)).into_drawing_area();
    root.fill(&WHITE)?;
    let curves = [
        ("energy loss (nats)", "energy_loss", RGBColor(190, 60, 60)),
        ("proposal loss (nats)", "proposal_loss", RGBColor(50, 90, 170)),
        ("effective sample size", "ess", RGBColor(40, 130, 70)),
    ];
    for (area, (title, metric, shade)) in root.split_evenly((3, 1)).iter().zip(curves) {
        let points: Vec<(f64, f64)> = records
            .chunks(25)
            .filter_map(|chunk| {
                let values: Vec<f64> =
                    chunk.iter().filter_map(|record| record.value(metric)).map(f64::from).collect();
                let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
                (!values.is_empty()).then(|| (chunk[0].step as f64, mean))
            })
            .collect();
        let Some(&(last, _)) = points.last() else { continue };
        let low = points.iter().map(|p| p.1).fold(f64::INFINITY, f64::min);
        let high = points.iter().map(|p| p.1).fold(f64::NEG_INFINITY, f64::max);
        let pad = 0.05 * (high - low).max(1e-6 * low.abs().max(1.0));
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
    present(&root, path)
}
